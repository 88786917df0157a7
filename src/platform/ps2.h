/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ps2: keyboard and mouse at the other end of the i8042's two cables. Each takes bytes from the
 * host and has a queue of bytes for it; the controller fetches them. Guarded by the controller's
 * lock.
 */
#ifndef PLATFORM_PS2_H
#define PLATFORM_PS2_H

#include <stdbool.h>
#include <stdint.h>

#define PS2_QUEUE_SIZE 32u
/*
 * The rest is for answers: no key and no motion may take the room of one. With the byte in the
 * controller this makes sixteen, the most that drivers read before they doubt the controller.
 */
#define PS2_QUEUE_INPUT_MAX 15u

struct ps2_queue {
	uint8_t byte[PS2_QUEUE_SIZE];
	unsigned head;  /* below PS2_QUEUE_SIZE */
	unsigned count; /* at most PS2_QUEUE_SIZE */
};

/* A byte that finds the queue full is dropped. */
void ps2_queue_push(struct ps2_queue *q, uint8_t byte);
/* False when there is none. */
bool ps2_queue_pop(struct ps2_queue *q, uint8_t *byte);
void ps2_queue_clear(struct ps2_queue *q);

struct ps2_keyboard {
	struct ps2_queue out;
	bool scanning;
	uint8_t pending;  /* command that waits for its parameter, or 0 */
	uint8_t scan_set; /* 1 to 3; the keys given are passed on as they are */
	uint8_t leds;
	uint8_t typematic;
	uint8_t last; /* for Resend */
};

void ps2_keyboard_reset(struct ps2_keyboard *k);
void ps2_keyboard_receive(struct ps2_keyboard *k, uint8_t byte);
/* All n bytes or none; false when they were dropped. */
bool ps2_keyboard_key(struct ps2_keyboard *k, const uint8_t *codes, unsigned n);

#define PS2_BUTTON_LEFT   0x01
#define PS2_BUTTON_RIGHT  0x02
#define PS2_BUTTON_MIDDLE 0x04
#define PS2_BUTTON_4      0x08
#define PS2_BUTTON_5      0x10

struct ps2_mouse {
	struct ps2_queue out;
	uint8_t id;          /* 0 three buttons, 3 with wheel, 4 with five buttons */
	bool reporting;      /* in stream mode: motion is sent as it comes */
	bool remote;         /* only when asked */
	bool wrap;           /* bytes are echoed */
	bool scale_2_to_1;   /* shown in the status only */
	uint8_t pending;     /* command that waits for its parameter, or 0 */
	uint8_t sample_rate; /* reports a second; stored */
	uint8_t resolution;  /* 0 to 3; stored */
	uint8_t knock[3];    /* the last sample rates, oldest first */
	uint8_t buttons;     /* PS2_BUTTON_* */
	bool changed;        /* since the last report */
	int32_t dx, dy, dz;  /* not reported yet; up, right and towards the user are positive */
	uint8_t last[4];     /* for Resend */
	uint8_t last_count;
};

void ps2_mouse_reset(struct ps2_mouse *m);
void ps2_mouse_receive(struct ps2_mouse *m, uint8_t byte);
/* Motion that finds no room in the queue is added up until there is. */
void ps2_mouse_move(struct ps2_mouse *m, int dx, int dy, int dz, uint8_t buttons);
/* Called when bytes have left the queue. */
void ps2_mouse_drained(struct ps2_mouse *m);

#endif
