// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ps2_keyboard: an IBM enhanced keyboard (PS/2) as its host sees it.
 *
 * Source: IBM Personal System/2 Hardware Interface Technical Reference, Keyboards (101 and 102
 * keys), commands to the keyboard. Holds the queue both devices use, too.
 *
 * Each byte from the host is answered at once; a self-test takes no time. Left out: typematic
 * repetition (the display that sends keys repeats them) and the key types of scan code set 3, whose
 * commands are acknowledged.
 */
#include "platform/ps2.h"

#include <string.h>

#define KBD_SET_LEDS      0xed
#define KBD_ECHO          0xee
#define KBD_SCAN_SET      0xf0
#define KBD_IDENTIFY      0xf2
#define KBD_TYPEMATIC     0xf3
#define KBD_ENABLE        0xf4
#define KBD_DISABLE       0xf5
#define KBD_DEFAULTS      0xf6
#define KBD_SET_ALL       0xf7 /* to 0xfa: key types of set 3 */
#define KBD_SET_ALL_LAST  0xfa
#define KBD_SET_KEY       0xfb /* to 0xfd: the same of one key */
#define KBD_SET_KEY_LAST  0xfd
#define KBD_RESEND        0xfe
#define KBD_RESET         0xff

#define ANSWER_ACK        0xfa
#define ANSWER_RESEND     0xfe
#define ANSWER_PASSED     0xaa /* basic assurance test */

#define TYPEMATIC_DEFAULT 0x2b /* 10.9 characters a second after 500 ms */

void ps2_queue_push(struct ps2_queue *q, uint8_t byte)
{
	if (q->count >= PS2_QUEUE_SIZE)
		return;
	q->byte[(q->head + q->count) % PS2_QUEUE_SIZE] = byte;
	q->count++;
}

bool ps2_queue_pop(struct ps2_queue *q, uint8_t *byte)
{
	if (!q->count)
		return false;
	*byte = q->byte[q->head % PS2_QUEUE_SIZE];
	q->head = (q->head + 1) % PS2_QUEUE_SIZE;
	q->count--;
	return true;
}

void ps2_queue_clear(struct ps2_queue *q)
{
	q->head = 0;
	q->count = 0;
}

static void answer(struct ps2_keyboard *k, uint8_t byte)
{
	k->last = byte;
	ps2_queue_push(&k->out, byte);
}

static void set_defaults(struct ps2_keyboard *k)
{
	ps2_queue_clear(&k->out);
	k->scan_set = 2;
	k->typematic = TYPEMATIC_DEFAULT;
	k->pending = 0;
}

void ps2_keyboard_reset(struct ps2_keyboard *k)
{
	memset(k, 0, sizeof(*k));
	set_defaults(k);
	k->scanning = true;
}

static void receive_parameter(struct ps2_keyboard *k, uint8_t command, uint8_t value)
{
	switch (command) {
	case KBD_SET_LEDS:
		k->leds = value & 7;
		break;
	case KBD_TYPEMATIC:
		k->typematic = value & 0x7f;
		break;
	case KBD_SCAN_SET:
		if (value > 3) {
			answer(k, ANSWER_RESEND);
			return;
		}
		answer(k, ANSWER_ACK);
		if (value)
			k->scan_set = value;
		else
			answer(k, k->scan_set);
		return;
	default: /* a key of set 3 */
		break;
	}
	answer(k, ANSWER_ACK);
}

static void receive_command(struct ps2_keyboard *k, uint8_t command)
{
	switch (command) {
	case KBD_ECHO:
		answer(k, KBD_ECHO);
		return;
	case KBD_RESEND:
		ps2_queue_push(&k->out, k->last);
		return;
	case KBD_SET_LEDS:
	case KBD_SCAN_SET:
	case KBD_TYPEMATIC:
	case KBD_SET_KEY ... KBD_SET_KEY_LAST:
		k->pending = command;
		break;
	case KBD_IDENTIFY:
		answer(k, ANSWER_ACK);
		answer(k, 0xab);
		answer(k, 0x83);
		return;
	case KBD_ENABLE:
		ps2_queue_clear(&k->out);
		k->scanning = true;
		break;
	case KBD_DISABLE:
		set_defaults(k);
		k->scanning = false;
		break;
	case KBD_DEFAULTS:
		set_defaults(k);
		break;
	case KBD_SET_ALL ... KBD_SET_ALL_LAST:
		break;
	case KBD_RESET:
		ps2_keyboard_reset(k);
		answer(k, ANSWER_ACK);
		answer(k, ANSWER_PASSED);
		return;
	default:
		answer(k, ANSWER_RESEND);
		return;
	}
	answer(k, ANSWER_ACK);
}

void ps2_keyboard_receive(struct ps2_keyboard *k, uint8_t byte)
{
	uint8_t command = k->pending;

	k->pending = 0;
	/* Where a parameter is due, a command takes its place. */
	if (command && byte < KBD_SET_LEDS)
		receive_parameter(k, command, byte);
	else
		receive_command(k, byte);
}

bool ps2_keyboard_key(struct ps2_keyboard *k, const uint8_t *codes, unsigned n)
{
	unsigned i;

	if (!k->scanning || n > PS2_QUEUE_INPUT_MAX || k->out.count > PS2_QUEUE_INPUT_MAX - n)
		return false;
	for (i = 0; i < n; i++)
		ps2_queue_push(&k->out, codes[i]);
	return true;
}
