/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Exceptions and interrupts: a stub for each of the 256 vectors, all into trap_dispatch(). */
#include "layout.h"

	.text
	.altmacro
	.macro trap number
trap_\number:
	.if (\number == 8) || (\number == 17) || (\number / 5 == 2)
	/* the processor has pushed an error code */
	.else
	pushl $0
	.endif
	pushl $\number
	jmp trap_common
	.endm
	.set n, 0
	.rept 256
	trap %n
	.set n, n + 1
	.endr

trap_common:
	pushal
	pushl %ds
	pushl %es
	movl $SEL_DATA, %eax
	movw %ax, %ds
	movw %ax, %es
	cld
	pushl %esp
	call trap_dispatch
	addl $4, %esp
	popl %es
	popl %ds
	popal
	addl $8, %esp
	iret

	.globl await_interrupt, await_hlt
await_interrupt:
	sti
await_hlt:
	hlt
	ret

	.section .rodata
	.macro trap_entry number
	.long trap_\number
	.endm
	.globl trap_stubs
	.balign 4
trap_stubs:
	.set n, 0
	.rept 256
	trap_entry %n
	.set n, n + 1
	.endr

	.section .note.GNU-stack, "", @progbits
