"""Results as tables: for the terminal and, between its markers, for docs/benchmarks.md."""

BEGIN, END = "<!-- results: written by bench/run.py --write-docs -->", "<!-- end of results -->"
OTHERS_NOISY = 0.05  # of the machine, taken by processes that are not part of the bench

# kind of table: (key, heading, format)
LOAD_COLUMNS = [
    ("subject", "subject", "{}"), ("rps", "req/s", "{:,.0f}"), ("cpu_us", "CPU us/request", "{:.2f}"),
    ("cpu_ratio", "x relay", "{:.2f}"), ("cpu_ratio_range", "rounds", "{0[0]:.2f}-{0[1]:.2f}"), ("p50_us", "p50 us", "{:,.0f}"), ("p99_us", "p99 us", "{:,.0f}"),
    ("rss_mib", "RSS MiB", "{:.1f}"), ("pss_mib", "PSS MiB", "{:.1f}"),
]
COLUMNS = {
    "load": LOAD_COLUMNS,
    "rate": [column for column in LOAD_COLUMNS if column[0] not in ("rss_mib", "pss_mib")]
    + [("p999_us", "p99.9 us", "{:,.0f}"), ("added_p99_us", "added p99 us", "{:,.0f}")],
    "slow": [("subject", "subject", "{}"), ("alone_p99_us", "p99 us alone", "{:,.0f}"), ("p99_us", "p99 us beside", "{:,.0f}"),
             ("p99_ratio", "x alone", "{:.2f}"), ("errors", "errors", "{:,}"),
             ("kib_per_connection", "KiB a slow sender", "{:.2f}")],
    "idle": [("subject", "subject", "{}"), ("before_mib", "before, PSS MiB", "{:.1f}"),
             ("after_mib", "after, PSS MiB", "{:.1f}"), ("kib_per_connection", "KiB a connection", "{:.2f}")],
    "start": [("subject", "subject", "{}"), ("start_ms", "first answer ms", "{:.1f}"), ("start_min_ms", "min", "{:.1f}"),
              ("start_max_ms", "max", "{:.1f}"), ("idle_rss_mib", "idle RSS MiB", "{:.1f}"),
              ("idle_pss_mib", "idle PSS MiB", "{:.1f}"), ("stripped_mib", "stripped binary MiB", "{:.2f}")],
    "flapping": [("subject", "what", "{}"), ("asked", "requests", "{:,}"), ("bad_gets", "bad GETs", "{:,}"),
                 ("good_gets", "good GETs %", "{:.4f}"), ("posts", "POSTs", "{:,}"), ("bad_posts", "bad POSTs", "{:,}"),
                 ("repeated", "came twice", "{:,}"), ("p50_us", "p50 us", "{:,.0f}"), ("p99_us", "p99 us", "{:,.0f}"),
                 ("p99_ratio", "x quiet", "{:.2f}"), ("p999_us", "p99.9 us", "{:,.0f}"), ("retries", "retries", "{:,.0f}"),
                 ("ejections", "ejections", "{:,.0f}"), ("cut", "answers cut", "{:,}")],
    "slow_endpoint": [("subject", "what", "{}"), ("asked", "requests", "{:,}"), ("bad_gets", "bad", "{:,}"),
                      ("p50_us", "p50 us", "{:,.0f}"), ("p99_us", "p99 us", "{:,.0f}"), ("p99_ratio", "x healthy", "{:.2f}"),
                      ("p999_us", "p99.9 us", "{:,.0f}"), ("share", "% to it", "{:.2f}")],
    "reloads": [("subject", "what", "{}"), ("asked", "requests", "{:,}"), ("bad_gets", "failed", "{:,}"),
                ("p50_us", "p50 us", "{:,.0f}"), ("p99_us", "p99 us", "{:,.0f}"), ("reload_ms", "ms a reload", "{:.1f}")],
    "ingest": [("subject", "what", "{}"), ("rps", "posts/s", "{:,.0f}"), ("p50_us", "p50 us", "{:,.0f}"),
               ("p95_us", "p95 us", "{:,.0f}"), ("p99_us", "p99 us", "{:,.0f}"), ("cpu_us", "CPU us a post", "{:.1f}"),
               ("memory_mib", "RSS MiB", "{:.0f}"), ("errors", "errors", "{:,}")],
    "micro": [("name", "what", "{}"), ("value", "value", "{:,.1f}"), ("unit", "unit", "{}")],
}
PER_CPU_COLUMN = ("gib_per_cpu_s", "GiB a CPU-second", "{:.2f}")
IN_FLIGHT_COLUMN = ("kib_per_connection", "KiB a request in flight", "{:.1f}")


def columns_of(table):
    columns = COLUMNS[table["kind"]]
    if table["scenario"] == "1m":
        columns = columns + [PER_CPU_COLUMN]
    return columns + [IN_FLIGHT_COLUMN] if table["scenario"] in ("inflight", "inflight1k", "respond") else columns


def cells(table):
    """Rows of text, the headings first. A row with errors is marked."""
    columns = columns_of(table)
    rows = [[heading for _, heading, _ in columns]]
    for row in table["rows"]:
        line = ["-" if row.get(key) is None else form.format(row[key]) for key, _, form in columns]
        if row.get("errors") or row.get("mismatch"):
            line[0] += " (!)"
        rows.append(line)
    return rows


def aligned(rows):
    """Columns of equal width: the first to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(["", row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])])
            for row in rows]


def markdown(rows):
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|" + "---:|" * (len(rows[0]) - 1))
    return lines


def noise(table):
    others = max((row.get("others", 0) for row in table["rows"]), default=0)
    if others <= OTHERS_NOISY:
        return ""
    return f"Other processes took up to {others:.0%} of the machine meanwhile: absolute numbers are off, ratios less so."


def machine(results):
    facts, options = results["machine"], results["options"]
    versions = "".join(f"; {name} {version}" for name, version in facts["versions"].items())
    return [f"{results['date']}; {facts['cores']} cores, {facts['cpu']}, {facts['memory_mib']:,} MiB; "
            f"{facts['system']}, Linux {facts['kernel']}; {facts['compiler']}.",
            f"commit {facts['commit'] or 'none'}{versions}.",
            f"{options['rounds']} round(s) of {options['seconds']:g} s after {options['warmup']:g} s warm-up; medians."]


def title(table):
    rate = f" ({table['rate']:,.0f} requests/s)" if "rate" in table else ""
    return f"{table['scenario']}: {table['about']}{rate}"


def empty(table):
    return not table["rows"] and not table.get("text")


def text(results):
    lines = machine(results)
    for table in results["tables"]:
        if empty(table):
            continue
        lines += ["", title(table)]
        lines += aligned(cells(table)) if table["rows"] else []
        lines += ["  " + line for line in table.get("text", [])]
        lines += ["  " + noise(table)] if noise(table) else []
    lines += ["", *(f"ERROR (!) {problem}" for problem in results["problems"])] if results["problems"] else []
    return "\n".join(lines) + "\n"


def section(results):
    lines = [*machine(results)]
    for table in results["tables"]:
        if empty(table):
            continue
        lines += ["", f"### {title(table)}"]
        lines += ["", *markdown(cells(table))] if table["rows"] else []
        lines += ["", "```", *table["text"], "```"] if table.get("text") else []
        lines += ["", noise(table)] if noise(table) else []
    lines += ["", *(f"- (!) {problem}" for problem in results["problems"])] if results["problems"] else []
    return "\n".join(lines)


def write_docs(path, results):
    with open(path, encoding="utf-8") as file:
        before, begin, rest = file.read().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise RuntimeError(f"the markers of the results are missing in {path}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"{before}{BEGIN}\n\n{section(results)}\n\n{END}{after}")
