/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The entries of the option ROM: numbers, offsets and what each expects. An ABI for ever, since a
 * guest that hibernated may call them under a later Lodge. Plain numbers, for C and for gas.
 *
 * Each is entered by the CALL that replaced an instruction (tpr_encode_call()), with every register
 * and flag as before that instruction, but for ESP, which is 4 less.
 */
#ifndef TPR_ENTRY_H
#define TPR_ENTRY_H

#define TPR_ENTRY_OFFSET    0x200 /* of entry 0 in the ROM */
#define TPR_ENTRY_SIZE      64    /* from one entry to the next */

#define TPR_ENTRY_LOAD      0  /* + register: TPR to it, zero-extended; not 4, ESP */
#define TPR_ENTRY_STORE     8  /* + register: it to TPR; for ESP, ESP before the instruction */
#define TPR_ENTRY_STORE_IMM 16 /* the 4 bytes at the return address to TPR; returns behind them */
#define TPR_ENTRY_PUSH      17 /* returns with TPR pushed, zero-extended */
#define TPR_ENTRY_POP       18 /* the dword above the return address to TPR, and off the stack */
#define TPR_ENTRY_COUNT     19

/* Bytes below ESP that a CALL and its entry may use. */
#define TPR_ENTRY_STACK 64

#endif
