#!/usr/bin/python3
"""Sends some 70,000 malformed and odd messages through weir to a recording origin, and compares what comes of each with
what the RFC and the acceptance table say. See tests/README.md.

usage: run.py [--weir BINARY] [--case N] [--bytes N|all] [--splits N|all] [--only PHASE]"""
import argparse
import collections
import os
import random
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import answers  # noqa: E402
import cases  # noqa: E402
import client  # noqa: E402
import gate  # noqa: E402
import oracle  # noqa: E402
import origin  # noqa: E402
import peers  # noqa: E402

SHOWN = 10  # failures of a phase that are told in full
IN_PIECES_MAX = 2048  # longer messages are not taken apart
COLLECT_EVERY = 20000


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.shown = collections.Counter()

    def good(self, count=1):
        self.passed += count

    def bad(self, phase, what, run=None, expected=None, got=None):
        self.failed += 1
        self.shown[phase] += 1
        if self.shown[phase] > SHOWN:
            return
        print(f"FAIL {phase}: {what}")
        if run:
            print(f"     case {run.case.number} ({run.case.family}): {run.case.name}\n     sent: {run.case.data[:3000]!r}")
            if len(run.pieces) > 1:
                print(f"     written in {[len(p) for p in run.pieces[:4]]}{' ...' if len(run.pieces) > 4 else ''}")
            for verdict in run.verdicts:
                print(f"     expected: {tell(verdict)}")
            answers = [(r.status, client.code_of(r)) for r in run.responses]
            print(f"     answers: {answers}{', then the end' if run.eof else ''}{', by reset' if run.reset else ''}")
            print(f"     repeat: tests/smuggle/run.py --case {run.case.number}")
        if expected is not None:
            print(f"     expected: {expected}")
        if got is not None:
            print(f"     got: {got}")
        sys.stdout.flush()


def tell(verdict):
    arrivals = [f"{a.method.decode()} {a.target.decode('latin-1')[:60]} +{len(a.body)}" for a in verdict.arrivals]
    how = f" {sorted(verdict.statuses)} by {sorted(verdict.rows)}" if verdict.end == "refused" else ""
    return f"{arrivals}, {verdict.end}{how}"


def check_labels(all_cases, report):
    """The table that made a case and the oracle that reads its bytes must agree; neither knows the other."""
    for case in all_cases:
        if case.rows is None:
            continue
        verdict = client.make_run(case).verdicts[0]
        if bool(case.rows) == (verdict.heads == 0) and (not case.rows or case.rows & verdict.rows):
            continue
        report.bad("labels", f"case {case.number}: {case.name}: made to break {sorted(case.rows)}, read as {tell(verdict)}")


def compare_arrivals(phase, runs, records, report):
    """What the origin has recorded against what the verdicts that came true say, connection by connection."""
    by_source = collections.defaultdict(collections.deque)
    for record in records:
        by_source[record.source].append(record)
    spoiled = set()  # a difference there makes more of them; only the first is told
    for run in runs:
        if run.source in spoiled:
            continue
        have = by_source[run.source]
        if run.failure:
            report.bad(phase, run.failure, run, got=[(r.method, r.target, len(r.body), r.whole) for r in have])
            have.clear()
            spoiled.add(run.source)
            continue
        problems = []
        for verdict in run.true:
            taken, problem = unlike(list(have), verdict)
            if problem is None:
                break
            problems.append(problem)
        else:
            problem = "; or ".join(problems)
        if problem:
            report.bad(phase, problem, run)
            have.clear()
            spoiled.add(run.source)
        else:
            report.good()
            for _ in range(taken):
                have.popleft()
    for source, have in by_source.items():
        for record in have:
            report.bad(phase, f"nobody accounts for a request from {source.decode()}", got=record)


def unlike(records, verdict):
    """How many of the records are the verdict's, and in what the first ones differ from it."""
    arrivals = [arrival for arrival in verdict.arrivals if arrival.own == oracle.ORIGINS]
    count = len(arrivals)
    for i, arrival in enumerate(arrivals):
        problem = differs(records[i] if i < len(records) else None, arrival)
        if problem:
            return 0, problem
    if verdict.end == "open" or len(records) == count:
        return count, None
    # the connection has ended, so what is left can only be the head of a request whose body was bad
    record, partial = records[count], verdict.partial
    if len(records) > count + 1 or record.whole or not partial or \
            (record.method, record.target) != (partial.method, partial.target):
        return 0, f"the origin got {record}, which it must not"
    return count + 1, None


def differs(record, arrival):
    if record is None or not record.whole:
        return f"the origin never got {arrival}"
    if (record.method, record.target, record.body, record.fields, record.upgrade) != \
            (arrival.method, arrival.target, arrival.body, arrival.fields, arrival.upgrade):
        return f"the origin got {record}, not {arrival}"
    if arrival.host and record.host.lower() != arrival.host:
        return f"the origin got Host {record.host!r}, not {arrival.host!r}"
    return None


def compare_metrics(phase, weir, statuses, codes, report):
    """weir's own count of what it answered, against the client's. An answer may be there a moment before it is counted."""
    end = time.monotonic() + 10
    while True:
        problem = unlike_metrics(weir.metrics(), statuses, codes)
        if not problem or time.monotonic() > end:
            break
        time.sleep(0.1)
    if problem:
        report.bad(phase, problem)


def unlike_metrics(metrics, statuses, codes):
    counted, refused, seen = collections.Counter(), collections.Counter(), collections.Counter()
    for name, labels, value in metrics:
        if name == "http_server_request_duration_seconds_count":
            counted[labels["http_response_status_code"]] += int(value)
        if name == "weir_refusals_total" and labels["code"] != "client_closed":
            refused[labels["code"]] += int(value)
    for status, count in statuses.items():
        seen[str(status) if status < 600 else "other"] += count
    counted.pop("499", None)  # nobody was there to hear it
    if counted != seen:
        return f"weir has counted {dict(counted - seen)} answers more than the client, {dict(seen - counted)} fewer"
    # refused HEAD requests are told no code
    if codes is not None and (sum((refused - codes).values()) != codes[""] or codes - refused - collections.Counter({"": codes[""]})):
        return f"weir_refusals_total {dict(refused)}, the client was told {dict(codes)}"
    return None


def play(phase, binary, runs, report, pieces=False):
    """One phase: an origin and a weir of its own. Gives the messages that arrived."""
    begin = time.monotonic()
    recorder = origin.Origin()
    weir = gate.Gate(binary, recorder.port, workers=1 if pieces else 2)
    driver = client.Driver(weir.port)
    before = report.passed, report.failed
    try:
        while True:
            part = [run for _, run in zip(range(COLLECT_EVERY), runs)]
            if not part:
                break
            (driver.play_pieces if pieces else driver.play)(part)
            records, violations = recorder.collect()
            for what, data in violations:
                report.bad(phase, f"the origin got {what}", got=data[:2000])
            compare_arrivals(phase, in_order(driver), records, report)
        driver.statuses[200] += driver.probes
        compare_metrics(phase, weir, driver.statuses, driver.codes, report)
    finally:
        complaint = weir.stop()
        _, _, kept = recorder.stop()
    if complaint:
        report.bad(phase, complaint)
    print(f"{phase}: {report.passed - before[0]} passed, {report.failed - before[1]} failed, "
          f"{sum(driver.statuses.values())} answers, {len(kept)} distinct messages forwarded, "
          f"{time.monotonic() - begin:.1f} s")
    sys.stdout.flush()
    return kept


def play_answers(binary, number, cut_all, report):
    """The other direction: answers of the origin."""
    begin = time.monotonic()
    before = report.passed, report.failed
    all_answers = answers.all_answers(cut_all)
    recorder = origin.Origin(all_answers)
    weir = gate.Gate(binary, recorder.port, workers=2)
    try:
        statuses = answers.play(weir.port, all_answers if number is None else [all_answers[number]], report)
        records, violations = recorder.collect()
        for what, data in violations:
            report.bad("answers", f"the origin got {what}", got=data[:2000])
        for target, count in collections.Counter(record.target for record in records).items():
            if count != 1:
                report.bad("answers", f"the origin got {target.decode()} {count} times")
        if not all(record.whole for record in records):
            report.bad("answers", "the origin got half a request")
        compare_metrics("answers", weir, statuses, None, report)
    finally:
        complaint = weir.stop()
        recorder.stop()
    if complaint:
        report.bad("answers", complaint)
    print(f"answers{', all in pieces' if cut_all else ''}: {report.passed - before[0]} passed, {report.failed - before[1]} failed, "
          f"{dict(sorted(statuses.items()))}, {time.monotonic() - begin:.1f} s")
    sys.stdout.flush()


def in_order(driver):
    done, driver.done = driver.done, []
    return done


def sample(all_cases, count):
    """As many, spread over all; always the same ones."""
    fit = [case for case in all_cases if len(case.data) <= IN_PIECES_MAX]
    if count >= len(fit):
        return fit
    families = collections.defaultdict(list)
    for case in fit:
        families[case.family].append(case)
    picked = []
    for name, members in sorted(families.items()):
        share = count // 3 if name == "matrix" else (count - count // 3) // (len(families) - 1)
        picked += random.Random(name).sample(members, min(share, len(members)))
    taken = {case.number for case in picked}
    rest = [case for case in fit if case.number not in taken]
    return picked + random.Random(0).sample(rest, count - len(picked))


def number_or_all(text):
    return 1 << 30 if text == "all" else int(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--weir", default=os.environ.get("WEIR_BIN", "build/weir"))
    parser.add_argument("--case", type=int, help="only this one, in one write, in bytes, and in every split")
    parser.add_argument("--bytes", type=number_or_all, default=2000, help="so many cases are written a byte at a time")
    parser.add_argument("--splits", type=number_or_all, default=100, help="so many are cut in two at every place")
    parser.add_argument("--only", help="one phase: plain, bytes, splits, peers (with plain), answers")
    parser.add_argument("--answer", type=int, help="only this answer of the origin")
    parser.add_argument("--io", default="auto", help="weir's back end: auto, epoll, uring")
    args = parser.parse_args()
    gate.Gate.io = args.io
    report = Report()
    all_cases = list(cases.all_cases())
    if args.answer is not None:
        args.only = "answers"
    if args.case is not None:
        all_cases = [all_cases[args.case]]
    print(f"smuggle: {len(all_cases)} cases")
    check_labels(all_cases, report)

    def wanted(phase):
        return args.only in (None, phase)
    kept = {}
    if wanted("plain") or wanted("peers"):
        kept |= play("plain", args.weir, (client.make_run(c) for c in all_cases), report)
    if wanted("bytes"):
        picked = sample(all_cases, args.bytes)
        kept |= play("bytes", args.weir, (client.make_run(c, "bytes") for c in picked), report, pieces=True)
    if wanted("splits"):
        picked = sample(all_cases, args.splits)
        kept |= play("splits", args.weir, (client.make_run(c, at) for c in picked
                                   for at in range(1, len(client.make_run(c).data))), report, pieces=True)
    if wanted("peers"):
        peers.play(kept, report)
    if wanted("answers") and args.case is None:
        play_answers(args.weir, args.answer, False, report)
        if args.splits >= 1000:
            play_answers(args.weir, args.answer, True, report)
    print(f"smuggle: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
