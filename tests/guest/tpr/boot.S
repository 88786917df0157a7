/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where the TPR guest starts, how its page tables change, and where further processors come from
 * real mode. Multiboot Specification 0.6.96, sections 3.1 and 3.2.
 */
#include "layout.h"

#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x00000003
#define CR0_PG          0x80000000
#define CR0_WP          0x00010000
#define CR0_PE          0x00000001
#define CR4_PSE         0x00000010
#define MSR_EFER        0xc0000080
#define EFER_NXE        0x00000800
#define LARGE           0x83 /* present, writable, 4 MiB */

#define PHYSICAL(symbol) (symbol - KSEG0)

	.section .multiboot, "a"
	.balign 4
	.long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

	.text
	.globl start
start:
	cli
	cld
	movl $PHYSICAL(boot_directory), %ecx
	movl %ecx, %cr3
	movl $CR4_PSE, %ecx
	movl %ecx, %cr4
	movl %cr0, %ecx
	orl $(CR0_PG | CR0_WP), %ecx
	movl %ecx, %cr0
	movl $1f, %ecx
	jmp *%ecx
1:	lgdt boot_gdt_pointer
	ljmp $SEL_CODE, $2f
2:	movw $SEL_DATA, %cx
	movw %cx, %ds
	movw %cx, %es
	movw %cx, %ss
	movl $(cpu_stacks + STACK_BYTES), %esp
	pushl %ebx
	pushl %eax
	call kernel_main
3:	cli
	hlt
	jmp 3b

/* void paging_switch(uint32_t cr3, uint32_t cr4, bool nx): with interrupts off; by way of low
   memory, where virtual and physical addresses are the same, as paging must be off in between. */
	.globl paging_switch
paging_switch:
	movl 4(%esp), %eax
	movl 8(%esp), %edx
	movl 12(%esp), %ecx
	pushl %ebx
	pushl %esi
	movl %edx, %esi
	movl $PHYSICAL(1f), %ebx
	jmp *%ebx
1:	movl %cr0, %ebx
	andl $~CR0_PG, %ebx
	movl %ebx, %cr0
	movl %esi, %cr4
	movl %eax, %cr3
	testl %ecx, %ecx
	jz 2f
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_NXE, %eax
	wrmsr
2:	orl $CR0_PG, %ebx
	movl %ebx, %cr0
	movl $3f, %ebx
	jmp *%ebx
3:	popl %esi
	popl %ebx
	ret

/* Copied to TRAMPOLINE; real mode. ap_rom: first call the initialization of an option ROM there,
   as a BIOS does. */
	.section .rodata
	.code16
	.globl ap_trampoline, ap_trampoline_end, ap_rom
ap_trampoline:
	cli
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $TRAMPOLINE, %sp
	cmpw $0, TRAMPOLINE + ap_rom - ap_trampoline + 2
	je 1f
	lcall *TRAMPOLINE + ap_rom - ap_trampoline
1:	cli
	xorw %ax, %ax
	movw %ax, %ds
	lgdtl TRAMPOLINE + ap_gdt_pointer - ap_trampoline
	movl %cr0, %eax
	orl $CR0_PE, %eax
	movl %eax, %cr0
	ljmpl $SEL_CODE, $PHYSICAL(ap_protected)
	.balign 4
ap_rom:
	.word 0, 0
ap_gdt_pointer:
	.word GDT_ENTRIES * 8 - 1
	.long PHYSICAL(boot_gdt)
ap_trampoline_end:
	.code32

	.text
ap_protected:
	movw $SEL_DATA, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movl PHYSICAL(ap_cr4), %eax
	movl %eax, %cr4
	movl PHYSICAL(ap_cr3), %eax
	movl %eax, %cr3
	cmpl $0, PHYSICAL(ap_nx)
	je 1f
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_NXE, %eax
	wrmsr
1:	movl %cr0, %eax
	andl $0x9fffffff, %eax /* caches on: INIT leaves CD and NW set */
	orl $(CR0_PG | CR0_WP), %eax
	movl %eax, %cr0
	movl $2f, %eax
	jmp *%eax
2:	lgdt boot_gdt_pointer
	movl ap_stack, %esp
	call ap_main
3:	cli
	hlt
	jmp 3b

	.data
	.balign 8
	.globl boot_gdt
boot_gdt:
	.quad 0
	.quad 0x00cf9b000000ffff /* code, 4 GiB */
	.quad 0x00cf93000000ffff /* data, 4 GiB */
	.quad 0x00cffb000000ffff /* user code */
	.quad 0x00cff3000000ffff /* user data */
	.quad 0			 /* TSS */
	.quad 0			 /* KPCR */
	.quad 0			 /* KPCR for users */
	.quad 0			 /* 16-bit code */
	.quad 0x00cf93001000ffff /* data, base 0x1000 */
	.quad 0x00cf9b001000ffff /* code, base 0x1000 */
boot_gdt_pointer:
	.word GDT_ENTRIES * 8 - 1
	.long boot_gdt

	.balign 4096
boot_directory:
	.set at, 0
	.rept 1024
	.if (at < 16)
	.long at * 0x400000 + LARGE
	.elseif (at >= 512 && at < 528)
	.long (at - 512) * 0x400000 + LARGE
	.else
	.long 0
	.endif
	.set at, at + 1
	.endr

	.globl ap_cr3, ap_cr4, ap_nx, ap_stack
ap_cr3:	.long 0
ap_cr4:	.long 0
ap_nx:	.long 0
ap_stack: .long 0

	.bss
	.balign 4096
	.globl cpu_stacks
cpu_stacks:
	.skip STACK_BYTES * CPU_MAX

	.section .note.GNU-stack, "", @progbits
