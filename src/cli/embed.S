/* The example configs inside the binary, so that `weir run --demo` needs no file. */
    .section .rodata
    .balign 16

    .global cli_demo_yaml
    .global cli_demo_yaml_end
cli_demo_yaml:
    .incbin "examples/demo.yaml"
cli_demo_yaml_end:
    .byte 0

    .global cli_proxy_yaml
    .global cli_proxy_yaml_end
cli_proxy_yaml:
    .incbin "examples/proxy.yaml"
cli_proxy_yaml_end:
    .byte 0

    .section .note.GNU-stack, "", %progbits
