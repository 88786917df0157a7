/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs code with all registers and flags as given, and tells what they are after it:
 * void site_run_N(struct registers *r, void *target), N the processor; the code ends by a jump
 * through site_exit[N]. void site_run_user(r, target): the same at privilege level 3; it ends by
 * interrupt VECTOR_RETURN. One block for each processor in absolute memory, because the code may
 * come back with any stack and any segment in fs.
 */
#include "layout.h"

#define FLAGS_IF 0x200

	.macro enter_site n
	pushl %ebp
	pushl %ebx
	pushl %esi
	pushl %edi
	pushfl
	movl 24(%esp), %eax
	movl 28(%esp), %edx
	movl %eax, block_\n
	movl %edx, block_\n + 4
	movl %esp, block_\n + 8
	.endm

	.macro load_registers
	movl 4(%eax), %ecx
	movl 8(%eax), %edx
	movl 12(%eax), %ebx
	movl 20(%eax), %ebp
	movl 24(%eax), %esi
	movl 28(%eax), %edi
	.endm

	.macro site_runner n
	.globl site_run_\n
site_run_\n:
	enter_site \n
	pushl 32(%eax)
	popfl
	load_registers
	movl 16(%eax), %esp
	movl 0(%eax), %eax
	jmp *block_\n + 4
site_back_\n:
	movl %eax, block_\n + 12
	movl block_\n, %eax
	movl %ecx, 4(%eax)
	movl %edx, 8(%eax)
	movl %ebx, 12(%eax)
	movl %esp, 16(%eax)
	movl %ebp, 20(%eax)
	movl %esi, 24(%eax)
	movl %edi, 28(%eax)
	movl block_\n + 12, %ecx
	movl %ecx, 0(%eax)
	movl block_\n + 8, %esp
	pushfl
	popl 32(%eax)
	popfl
	popl %edi
	popl %esi
	popl %ebx
	popl %ebp
	ret
	.endm

	.text
	site_runner 0
	site_runner 1
	site_runner 2
	site_runner 3

	.globl site_run_user
site_run_user:
	enter_site 0
	pushl $SEL_USER_DATA
	pushl 16(%eax)
	pushl 32(%eax)
	pushl $SEL_USER_CODE
	pushl block_0 + 4
	load_registers
	pushl 0(%eax)
	movw $SEL_USER_DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw $SEL_USER_PCR, %ax
	movw %ax, %fs
	popl %eax
	iret

/* From VECTOR_RETURN, interrupts off, on the stack of the TSS; what user code left is told too. */
	.globl site_user_back
site_user_back:
	pushl %eax
	movw $SEL_DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw $SEL_PCR, %ax
	movw %ax, %fs
	popl %eax
	pushl 8(%esp)
	popfl
	movl 12(%esp), %esp
	jmp site_back_0

	.section .rodata
	.globl site_exit, site_run
site_exit:
	.long site_back_0, site_back_1, site_back_2, site_back_3
site_run:
	.long site_run_0, site_run_1, site_run_2, site_run_3

	.bss
	.balign 16
block_0: .skip 16
block_1: .skip 16
block_2: .skip 16
block_3: .skip 16

	.section .note.GNU-stack, "", @progbits
