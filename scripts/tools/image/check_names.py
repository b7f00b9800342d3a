"""Runs the program of an image, unpacked in a folder, and looks whether it finds hosts by name: check_names.py FOLDER.

Wants a network of its own, and root. The name server below is that network's only one; a host is found when its port is connected to.
"""

import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading

PORT = 7000
BY_DNS = ("sip-database.alpha.svc.cluster.local", "127.0.0.2")
BY_FILE = ("sip-database-by-file", "127.0.0.3")
SYSTEM = "alpha.example"


def answer_names(server, asked):
    """Answers A of one name, and that there is nothing else."""
    while True:
        query, sender = server.recvfrom(512)
        labels, position = [], 12
        while query[position]:
            length = query[position]
            labels.append(query[position + 1 : position + 1 + length].decode())
            position += length + 1
        question = query[12 : position + 5]
        kind = struct.unpack("!H", question[-4:-2])[0]
        name = ".".join(labels)
        asked.append(name)
        known = name == BY_DNS[0]
        answers = 1 if known and kind == 1 else 0
        header = query[:2] + struct.pack("!HHHHH", 0x8180 if known else 0x8183, 1, answers, 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 5, 4) + socket.inet_aton(BY_DNS[1]) if answers else b""
        server.sendto(header + question + record, sender)


def run(root, *arguments, timeout=30):
    def enter():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(65532)
        os.setuid(65532)

    return subprocess.run(["/crossband", *arguments], preexec_fn=enter, capture_output=True, text=True, timeout=timeout, check=False)


def is_reached(root, name, address):
    with socket.create_server((address, PORT)) as listener:
        listener.settimeout(20)
        reached = threading.Event()

        def accept():
            try:
                connection, _ = listener.accept()
                reached.set()
                connection.close()
            except TimeoutError:
                pass

        threading.Thread(target=accept, daemon=True).start()
        outcome = run(root, "rotate-keys", "--address", f"{name}:{PORT}", "--certificates", "/certificates")
        print(f"check-image: {name}: {'reached' if reached.is_set() else 'not reached: ' + outcome.stderr.strip()}")
        return reached.is_set()


def main():
    root = pathlib.Path(sys.argv[1])
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    (root / "etc/hosts").write_text(f"{BY_FILE[1]} {BY_FILE[0]}\n")
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\nsearch alpha.svc.cluster.local svc.cluster.local\noptions ndots:5\n")
    (root / "certificates").mkdir()
    os.chown(root / "certificates", 65532, 65532)
    made = run(root, "certs", "--mc-system", SYSTEM, "--directory", "/certificates")
    if made.returncode:
        sys.exit(f"check-image: the program does not run: {made.stderr}")
    asked = []
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    threading.Thread(target=answer_names, args=(server, asked), daemon=True).start()
    # The short name is completed by the search list, as in a pod.
    names = [BY_DNS, ("sip-database", BY_DNS[1]), BY_FILE]
    found = [is_reached(root, name, address) for name, address in names]
    if not asked:
        sys.exit("check-image: the name server was never asked")
    return 0 if all(found) else 1


sys.exit(main())
