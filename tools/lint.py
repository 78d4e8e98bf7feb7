#!/usr/bin/python3
"""Checks what the compiler cannot see. Prints `file:line: rule: message`; exit status 1 when there is any.

    tools/lint.py [--fix] [--root DIR]      --fix lets clang-format rewrite first

A line may be excused, with the reason: `/* lint: allow RULE: why */` on it or just above it.
Needs universal-ctags, and clang-format of the version named below.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys

FUNCTION_LINES_MAX = 100
FILE_LINES_MAX = 800
CMAKE_LINES_MAX = 250
CLANG_FORMAT = 14

C_SUFFIXES = (".c", ".h")
CODE_SUFFIXES = (".c", ".h", ".S", ".py")
TEXT_SUFFIXES = CODE_SUFFIXES + (".cmake", ".txt", ".json", ".md", ".yaml", ".yml", ".sh", ".def", ".toml")
SKIPPED_DIRS = {".git", "build", "corpus", "__pycache__", ".pytest_cache"}

# Calls that are forbidden: rule, names, where they are allowed (path prefixes), what to use instead.
CALLS = [
    ("unsafe-call", "sprintf vsprintf strcpy strcat stpcpy atoi atol atoll atof alloca gets strtok scanf sscanf",
     (), "use the bounded helpers of base/"),
    ("heap-call", "malloc calloc realloc reallocarray free strdup strndup asprintf vasprintf posix_memalign aligned_alloc",
     ("src/base/alloc.c",), "use base/alloc.h: all memory is tagged and counted"),
    ("seam-call", "clock_gettime clock_nanosleep gettimeofday nanosleep usleep sleep accept accept4 connect epoll_create "
     "epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd timerfd_create pthread_create getrandom poll ppoll select",
     ("src/runtime/",), "the world is reached through runtime/ only"),
    ("seam-call", "socket bind listen setsockopt getsockopt",
     ("src/runtime/", "src/net/"), "sockets are made in runtime/ and net/ only"),
]

MODULE_FOLDERS = {"middleware": "GW_MIDDLEWARE", "handler": "GW_HANDLER"}


def strip_comments_and_strings(text):
    """Blanks out comments, strings and characters; every line keeps its number."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


class Lint:
    def __init__(self, root):
        self.root = root
        self.found = []
        self.files = sorted(self.walk())
        self.text = {path: self.read(path) for path in self.files}
        self.layers = {}  # folder: its prefixes, in order

    def walk(self):
        for directory, folders, names in os.walk(self.root):
            folders[:] = [f for f in folders if f not in SKIPPED_DIRS]
            for name in names:
                path = os.path.relpath(os.path.join(directory, name), self.root)
                if name.endswith(TEXT_SUFFIXES) or path in ("dev", ".ci/run", "src/LAYERS"):
                    yield path

    def read(self, path):
        with open(os.path.join(self.root, path), encoding="utf-8", errors="replace") as file:
            return file.read()

    def c_files(self, top="", suffixes=C_SUFFIXES):
        return [p for p in self.files if p.endswith(suffixes) and p.startswith(top)]

    def say(self, path, line, rule, message):
        lines = self.text.get(path, "").split("\n")
        above = lines[line - 2] if line > 1 else ""
        near = lines[line - 1:line] + ([above] if above.lstrip().startswith("/*") else [])
        if any(re.search(rf"lint: allow {rule}: (?!\s*\*/)\S", text) for text in near):
            return
        self.found.append((path, line, rule, message))

    # ---- rules ----

    def check_layers(self):
        path = "src/LAYERS"
        for number, line in enumerate(self.text.get(path, "").split("\n"), 1):
            words = line.split("#")[0].split()
            if len(words) == 1:
                self.say(path, number, "layer", f"{words[0]} has no prefix")
            if words:
                self.layers[words[0]] = tuple(words[1:])
        order = list(self.layers)
        for path in self.c_files("src/", (".c", ".h", ".S")):
            parts = path.split("/")
            folder = parts[1]
            if len(parts) != 3 or folder not in order:
                self.say(path, 1, "layer", "files live in src/FOLDER/, and src/LAYERS names the folders")
                continue
            for number, line in enumerate(self.text[path].split("\n"), 1):
                match = re.match(r'\s*#\s*include\s+"([^"]*)"', line)
                if match:
                    self.check_include(path, number, folder, match.group(1), order)

    def check_include(self, path, number, folder, name, order):
        target = name.split("/")[0]
        if name == "modules.def":
            return
        if target not in order or ".." in name:
            self.say(path, number, "layer", f'"{name}": write "folder/file.h" with a folder of src/LAYERS')
        elif order.index(target) > order.index(folder):
            self.say(path, number, "layer", f"{folder}/ may not include from {target}/, which is below it in src/LAYERS")

    def tags(self, paths):
        """Functions and variables as (path, name, line, end line, kind, static) from ctags."""
        out = subprocess.run(
            ["ctags", "-f", "-", "-u", "--languages=C", "--langmap=C:.c.h", "--kinds-C=fv", "--fields=+neS", "-L", "-"],
            input="\n".join(paths), cwd=self.root, capture_output=True, text=True, check=True).stdout
        for row in out.split("\n"):
            if row.startswith("!") or "\t" not in row:
                continue
            name, path, rest = row.split("\t", 2)
            fields = rest.split(';"\t', 1)[-1].split("\t")
            values = dict(f.split(":", 1) for f in fields[1:] if ":" in f)
            line = int(values.get("line", 1))
            yield path, name, line, int(values.get("end", line)), fields[0], "file" in values

    def check_symbols(self):
        for path, name, line, end, kind, static in self.tags(self.c_files()):
            length = end - line + 1
            if kind == "f" and length > FUNCTION_LINES_MAX:
                self.say(path, line, "function-length", f"{name} has {length} lines; {FUNCTION_LINES_MAX} is the limit")
            if path.startswith("src/") and not (static or self.closes_static(path, line)) and name != "main":
                self.check_prefix(path, line, name)
        for path in self.c_files("src/", (".S",)):
            for number, line in enumerate(self.text[path].split("\n"), 1):
                match = re.match(r"\s*\.glob[a]?l\s+(\w+)", line)
                if match:
                    self.check_prefix(path, number, match.group(1))

    def closes_static(self, path, line):
        """For `static struct {...} name`, which ctags takes for a public variable: is its head static?"""
        lines = self.text[path].split("\n")
        if not lines[line - 1].startswith("}"):
            return False
        return next((l for l in reversed(lines[:line - 1]) if re.match(r"\w", l)), "").startswith("static")

    def check_prefix(self, path, line, name):
        prefixes = self.layers.get(path.split("/")[1], ())
        if prefixes and not name.startswith(prefixes):
            wanted = " or ".join(prefixes)
            self.say(path, line, "prefix", f"{name} is visible outside its file: it starts with {wanted}, or is static")

    def check_calls(self):
        rules = [(rule, re.compile(r"(?<![\w.>])(" + names.replace(" ", "|") + r")\s*\("), allowed, hint)
                 for rule, names, allowed, hint in CALLS]
        for path in self.c_files("src/"):
            for number, line in enumerate(strip_comments_and_strings(self.text[path]).split("\n"), 1):
                for rule, pattern, allowed, hint in rules:
                    match = pattern.search(line)
                    if match and not (allowed and path.startswith(allowed)):
                        self.say(path, number, rule, f"{match.group(1)}: {hint}")
                if re.match(r"\s*typedef\s+(struct|union)\b", line):
                    self.say(path, number, "typedef", "write `struct x`; structs get no typedef")

    def check_modules(self):
        listed = self.text.get("src/modules.def")
        if listed is None:
            return
        for folder, macro in MODULE_FOLDERS.items():
            names = re.findall(rf"^{macro}\(\s*(\w+)\s*\)", listed, flags=re.M)
            for path in self.c_files(f"src/{folder}/", (".c",)):
                name = os.path.basename(path)[:-2]
                helper = name.endswith("_common") or any(name.startswith(n + "_") for n in names)
                if name not in names and not helper:
                    self.say(path, 1, "module", f"not compiled: src/modules.def has no line {macro}({name})")

    def check_text(self):
        for path in self.files:
            lines = self.text[path].split("\n")
            if path.endswith(CODE_SUFFIXES) and len(lines) - 1 > FILE_LINES_MAX:
                self.say(path, FILE_LINES_MAX + 1, "file-length", f"{len(lines) - 1} lines; {FILE_LINES_MAX} is the limit")
            for number, line in enumerate(lines, 1):
                if line != line.rstrip():
                    self.say(path, number, "space", "white space at the end of the line")
                if "\t" in line and path.endswith((".c", ".h", ".S", ".py", ".cmake")):
                    self.say(path, number, "tab", "a tab: indent with spaces, write \\t in strings")
            if lines[-1]:
                self.say(path, len(lines), "space", "no newline at the end of the file")
        cmake = [p for p in self.files if p.endswith((".cmake", "CMakeLists.txt", "CMakePresets.json"))]
        total = sum(self.text[p].count("\n") for p in cmake)
        if total > CMAKE_LINES_MAX:
            self.say("CMakeLists.txt", 1, "build-length", f"the build has {total} lines; {CMAKE_LINES_MAX} is the limit")

    def check_format(self, fix):
        program = next(filter(shutil.which, (f"clang-format-{CLANG_FORMAT}", "clang-format")), None)
        version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout if program else ""
        if f"version {CLANG_FORMAT}." not in version:
            print(f"note: formatting is not checked: there is no clang-format {CLANG_FORMAT}", file=sys.stderr)
            return
        files = self.c_files()
        if not files:
            return
        if fix:
            subprocess.run([program, "-i", *files], cwd=self.root, check=True)
            self.text.update((path, self.read(path)) for path in files)
            return
        out = subprocess.run([program, "--dry-run", "--Werror", *files], cwd=self.root, capture_output=True, text=True)
        seen = set()
        for path, line in re.findall(r"^(\S+?):(\d+):\d+: error: ", out.stderr, flags=re.M):
            if path not in seen:  # one line a file is enough: the way out is the same
                self.say(path, int(line), "format", "not as clang-format writes it; ./dev lint --fix does it")
            seen.add(path)

    def run(self, fix):
        self.check_format(fix)
        self.check_layers()
        self.check_symbols()
        self.check_calls()
        self.check_modules()
        self.check_text()
        for path, line, rule, message in sorted(self.found):
            print(f"{path}:{line}: {rule}: {message}")
        print(f"lint: {len(self.files)} files, {len(self.found)} findings")
        return bool(self.found)


def main():
    parser = argparse.ArgumentParser(description="weir's own checks; see the head of this file")
    parser.add_argument("--fix", action="store_true", help="let clang-format rewrite the files first")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    options = parser.parse_args()
    if not shutil.which("ctags"):
        sys.exit("lint: ctags is missing; ./dev lint installs it")
    return Lint(os.path.realpath(options.root)).run(options.fix)


if __name__ == "__main__":
    sys.exit(main())
