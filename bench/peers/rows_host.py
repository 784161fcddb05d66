"""rows_host: the update on the host, and collectives between processes."""

import shutil
import tempfile

from contest import Absent, Contestant, pairs


def largest_difference(one, other):
    return max(abs(a - b) for a, b in zip(one, other))


def absent(base, problem):
    return {**base, "absent": str(problem)}


def update(place):
    """AdamW in fp32; and clip, AdamW and casts with bf16 on both sides."""
    elements, count = (1 << 22, 3) if place.quick else (1 << 25, 31)
    threads, rows = place.cores, []
    own = [place.program("peer_update"), str(elements), str(threads)]
    for kind, name, needs in (("fused", "torch AdamW fused", ("torch",)),
                              ("foreach", "torch AdamW foreach", ("torch",)),
                              ("deepspeed", "DeepSpeed CPUAdam",
                               ("torch", "deepspeed", "deepspeed-cpu_adam"))):
        cases = (("update", "AdamW, fp32, 28 bytes an element"),
                 ("step", "host step: bf16 gradients, clip, AdamW, bf16 parameters"))
        bases = [{"row": "update", "peer": name, "unit": "seconds",
                  "what": f"{what}; {elements} elements, {threads} threads"} for _, what in cases]
        found = []
        try:
            their = place.python("torch_host_update.py", kind, elements, threads, needs=needs)
            with Contestant(name, their, environment=place.around(threads)) as theirs, \
                    Contestant("ours", own) as ours:
                for (word, _), base in zip(cases, bases):
                    mine, other = pairs((ours, word), (theirs, word), count, warm=3)
                    a, b = ours.say("values")[0], theirs.say("values")[0]
                    key, bound = ("weights", 1e-6) if word == "update" else ("parameters", 5e-4)
                    check = {"what": f"{key} differ by", "allowed": bound,
                             "difference": largest_difference(a[key], b[key])}
                    found.append({**base, "ours": mine, "theirs": other, "check": check})
        except Absent as problem:
            found += [absent(base, problem) for base in bases[len(found):]]
        rows += found
    return rows


def their_collectives(place, peer, ranks, size, meeting):
    if peer == "gloo":
        command = place.python("torch_collectives.py", size)
        return Contestant("gloo", command, ranks, place.around(1, meeting))
    if shutil.which("mpirun") is None:
        raise Absent("mpirun is not here (Debian: openmpi-bin)")
    command = ["mpirun", "--allow-run-as-root", "--oversubscribe", "-n", str(ranks),
               place.program("peer_mpi"), str(size)]
    return Contestant("Open MPI", command, ranks, launcher=True)


def collectives(place):
    size, count = (16 << 20, 3) if place.quick else (64 << 20, 15)
    rows = []
    for ranks in (2, 4):
        for peer, name in (("gloo", "gloo (torch.distributed)"), ("mpi", "Open MPI")):
            bases = {word: {"row": "collectives", "peer": name, "unit": "seconds",
                            "what": f"{word}, fp32, {size >> 20} MiB, {ranks} processes"}
                     for word in ("reduce_scatter", "all_gather")}
            done = []
            try:
                with tempfile.TemporaryDirectory() as meeting, \
                        their_collectives(place, peer, ranks, size, meeting) as theirs, \
                        Contestant("ours", place.launch(ranks, "peer_collectives", size), ranks,
                                   launcher=True) as ours:
                    for word in bases:
                        done.append((word, *pairs((ours, word), (theirs, word), count)))
                    wrong = sum(a["wrong"] for side in (ours, theirs) for a in side.say("wrong"))
                check = {"what": "wrong elements", "difference": wrong, "allowed": 0}
                rows += [{**bases[word], "ours": mine, "theirs": other, "check": check}
                         for word, mine, other in done]
            except Absent as problem:
                rows += [absent(base, problem) for base in bases.values()]
    return rows
