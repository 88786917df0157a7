// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ps2_mouse: a PS/2 mouse with wheel, as its host sees it.
 *
 * Source: IBM Personal System/2 Mouse Technical Reference (1989); the wheel and the fourth and
 * fifth button are turned on by the sequences of sample rates that Microsoft's mice answer to
 * (200, 100, 80 and then 200, 200, 80), after which the mouse calls itself 3 or 4.
 *
 * Each byte from the host is answered at once. Motion is sent as soon as there is room in the
 * queue, at whatever rate it comes. Left out: scaling, resolution and rate are stored and shown in
 * the status, and change nothing.
 */
#include "platform/ps2.h"

#include <string.h>

#define MOUSE_SCALE_1_TO_1 0xe6
#define MOUSE_SCALE_2_TO_1 0xe7
#define MOUSE_RESOLUTION   0xe8
#define MOUSE_STATUS       0xe9
#define MOUSE_STREAM       0xea
#define MOUSE_READ_DATA    0xeb
#define MOUSE_RESET_WRAP   0xec
#define MOUSE_SET_WRAP     0xee
#define MOUSE_REMOTE       0xf0
#define MOUSE_IDENTIFY     0xf2
#define MOUSE_SAMPLE_RATE  0xf3
#define MOUSE_ENABLE       0xf4
#define MOUSE_DISABLE      0xf5
#define MOUSE_DEFAULTS     0xf6
#define MOUSE_RESEND       0xfe
#define MOUSE_RESET        0xff

#define ANSWER_ACK         0xfa
#define ANSWER_RESEND      0xfe
#define ANSWER_PASSED      0xaa

#define ID_WHEEL           3
#define ID_FIVE_BUTTONS    4

#define MOTION_MAX         255
#define SUM_MAX            32767

static void answer(struct ps2_mouse *m, uint8_t byte)
{
	m->last[0] = byte;
	m->last_count = 1;
	ps2_queue_push(&m->out, byte);
}

static void set_defaults(struct ps2_mouse *m)
{
	ps2_queue_clear(&m->out);
	m->sample_rate = 100;
	m->resolution = 2;
	m->scale_2_to_1 = false;
	m->reporting = false;
	m->remote = false;
	m->wrap = false;
	m->pending = 0;
	m->dx = 0;
	m->dy = 0;
	m->dz = 0;
	m->changed = false;
}

void ps2_mouse_reset(struct ps2_mouse *m)
{
	memset(m, 0, sizeof(*m));
	set_defaults(m);
}

static int clamp(int value, int low, int high)
{
	return value < low ? low : value > high ? high : value;
}

/* One report of as much motion as it can hold; the rest stays. */
static void send_report(struct ps2_mouse *m)
{
	int dx = clamp(m->dx, -MOTION_MAX - 1, MOTION_MAX);
	int dy = clamp(m->dy, -MOTION_MAX - 1, MOTION_MAX);
	int dz = m->id == ID_WHEEL ? clamp(m->dz, -128, 127) : clamp(m->dz, -8, 7);
	uint8_t report[4];
	unsigned n = m->id ? 4 : 3;
	unsigned i;

	report[0] = (uint8_t)(0x08 | (m->buttons & 7) | (dx < 0 ? 0x10 : 0) | (dy < 0 ? 0x20 : 0));
	report[1] = (uint8_t)dx;
	report[2] = (uint8_t)dy;
	report[3] = (uint8_t)dz;
	if (m->id == ID_FIVE_BUTTONS)
		report[3] =
		    (uint8_t)((dz & 0x0f) | (m->buttons & (PS2_BUTTON_4 | PS2_BUTTON_5)) << 1);
	for (i = 0; i < n; i++)
		ps2_queue_push(&m->out, report[i]);
	memcpy(m->last, report, sizeof(m->last));
	m->last_count = (uint8_t)n;
	m->dx -= dx;
	m->dy -= dy;
	m->dz = m->id ? m->dz - dz : 0;
	m->changed = m->dx || m->dy || m->dz;
}

void ps2_mouse_drained(struct ps2_mouse *m)
{
	/* Each report has room in the queue, so this ends. */
	while (m->reporting && !m->remote && m->changed && m->out.count + 4 <= PS2_QUEUE_INPUT_MAX)
		send_report(m);
}

void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, uint8_t buttons)
{
	if (!m->reporting && !m->remote)
		return;
	m->dx = clamp(m->dx + clamp(dx, -SUM_MAX, SUM_MAX), -SUM_MAX, SUM_MAX);
	m->dy = clamp(m->dy + clamp(dy, -SUM_MAX, SUM_MAX), -SUM_MAX, SUM_MAX);
	m->dz = clamp(m->dz + clamp(dz, -SUM_MAX, SUM_MAX), -SUM_MAX, SUM_MAX);
	m->changed = m->changed || dx || dy || dz || buttons != m->buttons;
	m->buttons = buttons & 0x1f;
	ps2_mouse_drained(m);
}

static void knock(struct ps2_mouse *m, uint8_t rate)
{
	static const uint8_t wheel[3] = {200, 100, 80};
	static const uint8_t five_buttons[3] = {200, 200, 80};

	m->knock[0] = m->knock[1];
	m->knock[1] = m->knock[2];
	m->knock[2] = rate;
	if (!memcmp(m->knock, wheel, sizeof(wheel)))
		m->id = ID_WHEEL;
	else if (m->id && !memcmp(m->knock, five_buttons, sizeof(five_buttons)))
		m->id = ID_FIVE_BUTTONS;
}

static void send_status(struct ps2_mouse *m)
{
	uint8_t buttons = 0;

	if (m->buttons & PS2_BUTTON_LEFT)
		buttons |= 4;
	if (m->buttons & PS2_BUTTON_MIDDLE)
		buttons |= 2;
	if (m->buttons & PS2_BUTTON_RIGHT)
		buttons |= 1;
	answer(m, ANSWER_ACK);
	answer(m, (uint8_t)(buttons | (m->scale_2_to_1 ? 0x10 : 0) | (m->reporting ? 0x20 : 0) |
			    (m->remote ? 0x40 : 0)));
	answer(m, m->resolution);
	answer(m, m->sample_rate);
}

static void receive_parameter(struct ps2_mouse *m, uint8_t command, uint8_t value)
{
	if (command == MOUSE_RESOLUTION) {
		m->resolution = value & 3;
	} else {
		m->sample_rate = value;
		knock(m, value);
	}
	answer(m, ANSWER_ACK);
}

static void receive_query(struct ps2_mouse *m, uint8_t command)
{
	unsigned i;

	switch (command) {
	case MOUSE_STATUS:
		send_status(m);
		break;
	case MOUSE_IDENTIFY:
		answer(m, ANSWER_ACK);
		answer(m, m->id);
		break;
	case MOUSE_READ_DATA:
		answer(m, ANSWER_ACK);
		send_report(m);
		break;
	case MOUSE_RESET:
		ps2_mouse_reset(m);
		answer(m, ANSWER_ACK);
		answer(m, ANSWER_PASSED);
		answer(m, m->id);
		break;
	case MOUSE_RESEND:
		for (i = 0; i < m->last_count && i < sizeof(m->last); i++)
			ps2_queue_push(&m->out, m->last[i]);
		break;
	default:
		answer(m, ANSWER_RESEND);
		break;
	}
}

static void receive_command(struct ps2_mouse *m, uint8_t command)
{
	/* A command ends what the mouse was sending, so its answer comes first. */
	ps2_queue_clear(&m->out);
	switch (command) {
	case MOUSE_SCALE_1_TO_1:
	case MOUSE_SCALE_2_TO_1:
		m->scale_2_to_1 = command == MOUSE_SCALE_2_TO_1;
		break;
	case MOUSE_RESOLUTION:
	case MOUSE_SAMPLE_RATE:
		m->pending = command;
		break;
	case MOUSE_STREAM:
	case MOUSE_REMOTE:
		m->remote = command == MOUSE_REMOTE;
		break;
	case MOUSE_SET_WRAP:
		m->wrap = true;
		break;
	case MOUSE_RESET_WRAP:
		break;
	case MOUSE_ENABLE:
		m->reporting = true;
		break;
	case MOUSE_DISABLE:
		m->reporting = false;
		break;
	case MOUSE_DEFAULTS:
		set_defaults(m);
		break;
	default:
		receive_query(m, command);
		return;
	}
	answer(m, ANSWER_ACK);
}

void ps2_mouse_receive(struct ps2_mouse *m, uint8_t byte)
{
	uint8_t command = m->pending;

	m->pending = 0;
	if (m->wrap && byte != MOUSE_RESET_WRAP && byte != MOUSE_RESET) {
		answer(m, byte);
		return;
	}
	m->wrap = false;
	/* Any byte is a parameter where one is due: the wheel's sequence is made of such. */
	if (command)
		receive_parameter(m, command, byte);
	else
		receive_command(m, byte);
}
