/* See context.h. x86-64: System V ABI, rbx rbp r12-r15 are callee-saved. aarch64: AAPCS64, x19-x30 and d8-d15. */
#if defined(__x86_64__)
    .text
    .globl rt_context_switch
    .type rt_context_switch, @function
    .p2align 4
rt_context_switch:
    .cfi_startproc
    endbr64
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    popq %rcx
    notrack jmp *%rcx
    .cfi_endproc
    .size rt_context_switch, .-rt_context_switch

/* A new fiber starts here: the entry is in rbx; a zero return address ends backtraces. */
    .globl rt_context_start
    .type rt_context_start, @function
    .p2align 4
rt_context_start:
    .cfi_startproc
    .cfi_undefined rip
    endbr64
    xorl %ebp, %ebp
    pushq $0
    notrack jmp *%rbx
    .cfi_endproc
    .size rt_context_start, .-rt_context_start

#elif defined(__aarch64__)
    .text
    .globl rt_context_switch
    .type rt_context_switch, %function
    .p2align 4
rt_context_switch:
    .cfi_startproc
    hint #34 /* bti c */
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    mov x16, x30
    br x16
    .cfi_endproc
    .size rt_context_switch, .-rt_context_switch

    .globl rt_context_start
    .type rt_context_start, %function
    .p2align 4
rt_context_start:
    .cfi_startproc
    .cfi_undefined x30
    hint #36 /* bti j */
    mov x29, #0
    mov x30, #0
    mov x16, x19
    br x16
    .cfi_endproc
    .size rt_context_start, .-rt_context_start
#else
#error "weir has no context switch for this architecture: add one here (see context.h)"
#endif
    .section .note.GNU-stack,"",%progbits
