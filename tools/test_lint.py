#!/usr/bin/python3
"""Tests of lint.py: a small tree with one offence for each rule, and a clean one."""
import os
import subprocess
import sys
import tempfile
import unittest

LINT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lint.py")
LAYERS = "base b_\nnet net_\nhttp http_ h1_\nmiddleware mw_\nhandler hd_\n"


def lint(files, *arguments):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {"src/LAYERS": LAYERS, ".clang-format": "DisableFormat: true\n", **files}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        run = subprocess.run([sys.executable, LINT, "--root", root, *arguments], capture_output=True, text=True)
        return run.returncode, run.stdout.split("\n")[:-2], run.stderr


class LintTest(unittest.TestCase):
    def expect(self, files, *starts):
        status, lines, errors = lint(files)
        self.assertEqual(len(lines), len(starts), f"{lines}\n{errors}")
        for line, start in zip(lines, starts):
            self.assertTrue(line.startswith(start), f"{line} does not start with {start}")
        self.assertEqual(status, 1 if starts else 0)

    def test_clean(self):
        self.expect({"src/http/a.c": '#include "base/x.h"\n#include "http/a.h"\nint h1_x(void);\n'
                     "static int free_of(void) { return 1; }\nint h1_x(void) { return ops->free(free_of()); }\n"})

    def test_layer(self):
        self.expect({"src/base/a.c": '#include "base/a.h"\n#include "net/b.h"\n#include "../net/b.h"\n#include "b.h"\n'},
                    "src/base/a.c:2: layer: base/ may not include from net/", "src/base/a.c:3: layer:",
                    "src/base/a.c:4: layer:")

    def test_unknown_folder(self):
        self.expect({"src/misc/a.c": "\n"}, "src/misc/a.c:1: layer:")

    def test_prefix(self):
        self.expect({"src/base/a.c": "int b_good(void) { return 1; }\nint bad(void) { return 1; }\nint bad_value = 1;\n"
                     "static int fine(void) { return 1; }\nstatic struct {\n    int a;\n} fine_too = {1};\nint main(void) { return 1; }\n",
                     "src/base/s.S": "    .global b_good_asm\n    .globl bad_asm\n"},
                    "src/base/a.c:2: prefix: bad ", "src/base/a.c:3: prefix: bad_value ", "src/base/s.S:2: prefix: bad_asm ")

    def test_calls(self):
        self.expect({"src/base/a.c": "static int f(void)\n{\n    strcpy(a, b);\n    x = malloc(4);\n    socket(1, 2, 3);\n"
                     "    /* strcpy(a) */\n    say(\"free(x)\");\n    my_free(x);\n    a->connect(b);\n}\n",
                     "src/base/alloc.c": "static void f(void) { free(x); }\n",
                     "src/net/a.c": "static void f(void) { socket(1, 2, 3); connect(4); }\n"},
                    "src/base/a.c:3: unsafe-call: strcpy", "src/base/a.c:4: heap-call: malloc",
                    "src/base/a.c:5: seam-call: socket", "src/net/a.c:1: seam-call: connect")

    def test_excuse(self):
        self.expect({"src/base/a.c": "/* lint: allow heap-call: libfoo hands out its own memory */\n"
                     "static void f(void) { free(x); }\n"
                     "static void g(void) { free(x); } /* lint: allow heap-call: */\n"},
                    "src/base/a.c:3: heap-call")

    def test_typedef(self):
        self.expect({"src/base/a.h": "typedef struct a a_t;\n"}, "src/base/a.h:1: typedef")

    def test_function_length(self):
        self.expect({"src/base/a.c": "static void f(void)\n{\n" + "    g();\n" * 97 + "}\n"})
        self.expect({"src/base/a.c": "static void f(void)\n{\n" + "    g();\n" * 98 + "}\n"},
                    "src/base/a.c:1: function-length: f has 101 lines")

    def test_file_length(self):
        self.expect({"src/base/a.h": "\n" * 800})
        self.expect({"src/base/a.h": "\n" * 801}, "src/base/a.h:801: file-length: 801 lines")

    def test_space_and_tab(self):
        self.expect({"src/base/a.h": "int b_a; \n\tint b_b;\nint b_c;"}, "src/base/a.h:1: space", "src/base/a.h:2: tab",
                    "src/base/a.h:3: space: no newline")

    def test_build_length(self):
        self.expect({"CMakeLists.txt": "#\n" * 200, "cmake/a.cmake": "#\n" * 51}, "CMakeLists.txt:1: build-length: the build has 251")

    def test_module(self):
        self.expect({"src/modules.def": "GW_HANDLER(proxy)\n", "src/handler/proxy.c": "\n", "src/handler/proxy_body.c": "\n",
                     "src/handler/some_common.c": "\n", "src/handler/lost.c": "\n"}, "src/handler/lost.c:1: module")

    def test_format(self):
        files = {"src/base/a.c": "static int  x;\n", ".clang-format": "BasedOnStyle: LLVM\n"}
        status, lines, errors = lint(files)
        if "not checked" in errors:
            self.skipTest(errors)
        self.assertEqual(status, 1)
        self.assertTrue(lines[0].startswith("src/base/a.c:1: format"), lines)
        self.assertEqual(lint(files, "--fix")[0], 0)


if __name__ == "__main__":
    unittest.main()
