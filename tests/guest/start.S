/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the probe starts: its multiboot header, the first instructions, the stubs of exceptions,
 * and the trampoline by which further processors come from real mode.
 *
 * Multiboot Specification 0.6.96, sections 3.1 and 3.2. Flat 32-bit protected mode, paging off.
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00000003 /* modules on page boundaries, memory information */
#define STACK_BYTES     16384
#define CODE            0x08
#define DATA            0x10
#define COM1            0x3f8

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.globl start
start:
	cli
	cld
	lgdt gdt_pointer
	ljmp $CODE, $1f
1:	movw $DATA, %cx
	movw %cx, %ds
	movw %cx, %es
	movw %cx, %fs
	movw %cx, %gs
	movw %cx, %ss
	movl $stack_end, %esp
	pushl %ebx
	pushl %eax
	call probe_main
2:	cli
	hlt
	jmp 2b

/* Exceptions: a number each, 4 bytes apart in a table; error codes are left where they are. */
	.macro exception number
exception_\number:
	pushl $\number
	jmp exception_common
	.endm
	.altmacro
	.set n, 0
	.rept 32
	exception %n
	.set n, n + 1
	.endr

exception_common:
	popl %eax
	movl %esp, %edx
	pushl %edx
	pushl %eax
	call exception_report
3:	cli
	hlt
	jmp 3b

/* Interrupts: a number each, all registers kept around one function in C. */
	.macro interrupt number
interrupt_\number:
	pushal
	pushl $\number
	jmp interrupt_common
	.endm
	.set n, 0
	.rept 16
	interrupt %n
	.set n, n + 1
	.endr

interrupt_common:
	cld
	call interrupt_dispatch
	addl $4, %esp
	popal
	/* What iret does, by instructions that also an emulating KVM knows. */
	pushl 8(%esp)
	popfl
	lret $4

	.section .rodata
	.macro exception_entry number
	.long exception_\number
	.endm
	.macro interrupt_entry number
	.long interrupt_\number
	.endm
	.globl exception_stubs
	.balign 4
exception_stubs:
	.set n, 0
	.rept 32
	exception_entry %n
	.set n, n + 1
	.endr
	.globl interrupt_stubs
interrupt_stubs:
	.set n, 0
	.rept 16
	interrupt_entry %n
	.set n, n + 1
	.endr

	.data
	.balign 8
gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* code, 4 GiB */
	.quad 0x00cf93000000ffff /* data, 4 GiB */
gdt_pointer:
	.word . - gdt - 1
	.long gdt

/* Copied below 1 MiB; real mode, cs is its segment. */
	.section .rodata
	.code16
	.globl ap_trampoline, ap_trampoline_end
ap_trampoline:
	cli
	lgdtl %cs:ap_gdt_pointer - ap_trampoline
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE, $ap_protected
	.balign 4
ap_gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
ap_trampoline_end:
	.code32

	.text
ap_protected:
	movw $DATA, %ax
	movw %ax, %ds
	lock incl ap_count
	cmpl $0, ap_floods
	je 4f
	movl $COM1, %edx
	movb $'.', %al
5:	outb %al, %dx
	jmp 5b
4:	cli
	hlt
	jmp 4b

	.bss
	.balign 16
	.skip STACK_BYTES
stack_end:

	.section .note.GNU-stack, "", @progbits
