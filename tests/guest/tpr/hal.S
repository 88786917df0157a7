/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interrupt levels of a 32-bit NT HAL with APICs: what reads and writes the task priority
 * register of XP, by the instruction forms that its HAL uses. hal_lower is byte for byte what a
 * debugger shows of XP's KfLowerIrql; the others follow the same pattern. Levels are passed in cl.
 */
#include "layout.h"

	.text
/* uint8_t hal_raise(level): the old level. */
	.globl hal_raise
hal_raise:
	xorl %eax, %eax
	movb %cl, %al
	xorl %edx, %edx
	movb irql_to_tpr(%eax), %dl
	movl TPR, %eax
	movl %edx, TPR
	shrl $4, %eax
	movzbl tpr_to_irql(%eax), %eax
	ret

/* void hal_lower(level): the read makes sure that the write has arrived. */
	.globl hal_lower, hal_lower_write
hal_lower:
	.byte 0x33, 0xc0 /* xor eax,eax */
	.byte 0x8a, 0xc1 /* mov al,cl */
	.byte 0x33, 0xc9 /* xor ecx,ecx */
	movb irql_to_tpr(%eax), %cl
hal_lower_write:
	movl %ecx, TPR
	movl TPR, %eax
	ret

/* uint8_t hal_raise_to_dpc(void) */
	.globl hal_raise_to_dpc
hal_raise_to_dpc:
	movl TPR, %eax
	movl $VECTOR_DPC, TPR
	shrl $4, %eax
	movzbl tpr_to_irql(%eax), %eax
	ret

/* uint8_t hal_level(void) */
	.globl hal_level
hal_level:
	movl TPR, %eax
	shrl $4, %eax
	movzbl tpr_to_irql(%eax), %eax
	ret

/* uint8_t hal_lock(uint32_t *lock): a spin lock taken at DPC level. */
	.globl hal_lock
hal_lock:
	movl TPR, %edx
	movl $VECTOR_DPC, TPR
	shrl $4, %edx
	movzbl tpr_to_irql(%edx), %eax
1:	lock btsl $0, (%ecx)
	jc 2f
	ret
2:	testl $1, (%ecx)
	jz 1b
	pause
	jmp 2b

/* void hal_unlock(uint32_t *lock, uint8_t level) */
	.globl hal_unlock
hal_unlock:
	xorl %eax, %eax
	movb %al, (%ecx)
	movzbl %dl, %ecx
	movb irql_to_tpr(%ecx), %al
	movl %eax, TPR
	movl TPR, %eax
	ret

/* An interrupt's entry keeps the TPR on the stack and sets its own; its exit gives it back. */
	.macro interrupt name vector body
	.globl \name
\name:
	pushal
	cld
	pushl TPR
	movl $\vector, TPR
	sti
	call \body
	cli
	movl $0, APIC + 0xb0 /* end of interrupt */
	popl TPR
	popal
	iret
	.endm
	interrupt hal_clock_interrupt VECTOR_CLOCK load_clock
	interrupt hal_ipi_interrupt VECTOR_CROSS load_cross

/* A DPC interrupt ends before its work, so that the next one can be requested meanwhile. */
	.globl hal_dpc_interrupt
hal_dpc_interrupt:
	pushal
	cld
	pushl TPR
	movl $VECTOR_DPC, TPR
	movl $0, APIC + 0xb0
	sti
	call load_dpc
	cli
	popl TPR
	popal
	iret

	.section .rodata
	.globl irql_to_tpr, tpr_to_irql
irql_to_tpr:
	.byte 0x00, 0x3d, 0x41, 0x41, 0x51, 0x61, 0x71, 0x81, 0x91, 0xa1
	.fill 17, 1, 0xb1
	.byte 0xc1, 0xd1, 0xe1, 0xef, 0xff
tpr_to_irql:
	.byte 0, 0, 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 27, 28, 29, 31

	.section .note.GNU-stack, "", @progbits
