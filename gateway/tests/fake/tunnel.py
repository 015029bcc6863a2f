#!/usr/bin/env python3
"""tunnel.py   an HTTP proxy that only makes tunnels (CONNECT), on loopback, with the standard library alone.

Prints "listening on PORT". After each tunnel's end prints one line: "tunnel HOST:PORT TURNS LEAKS", TURNS being how often the
far end answered after we had spoken (TLS handshake and all), LEAKS how many header lines of the CONNECT no proxy should see.
With an argument, prints "turns N" after each answer as well, N counting from the tunnel's begin."""
import select
import socket
import sys
import threading


def serve(client, lock):
    head = b""
    while b"\r\n\r\n" not in head:
        part = client.recv(4096)
        if not part:
            return
        head += part
    lines = head.decode().split("\r\n")
    method, target, _ = lines[0].split(" ")
    leaks = sum(line.lower().startswith(("authorization:", "idempotency-key:", "content-", "stripe-")) for line in lines)
    if method != "CONNECT":
        client.sendall(b"HTTP/1.1 405 Only tunnels\r\nContent-Length: 0\r\n\r\n")
        client.close()
        return
    host, port = target.rsplit(":", 1)
    server = socket.create_connection((host, int(port)))
    client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    turns, has_spoken, is_open = 0, False, True
    while is_open:
        for end in select.select([client, server], [], [])[0]:
            part = end.recv(65536)
            if not part:
                is_open = False
                break
            if end is server and has_spoken:
                turns += 1
                if len(sys.argv) > 1:
                    with lock:
                        print(f"turns {turns}", flush=True)
            has_spoken = end is client
            (server if end is client else client).sendall(part)
    with lock:
        print(f"tunnel {target} {turns} {leaks}", flush=True)
    server.close()
    client.close()


def main():
    lock = threading.Lock()
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"listening on {listener.getsockname()[1]}", flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=serve, args=(client, lock), daemon=True).start()


if __name__ == "__main__":
    main()
