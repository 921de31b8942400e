# SPDX-License-Identifier: Apache-2.0
"""The reviews of the demo's shop: finds out how customers like a product, from what they write."""

import collections
import http.server
import json
import random
import signal
import sys

GOOD = set("amber brass feather juniper lunar quiet silver velvet willow".split())
BAD = set("dusty hollow umber zinc pewter".split())
WORDS = sorted(GOOD | BAD) + "kettle lantern mirror needle oar quill rope saddle teapot vase".split()


def write_reviews(product):
    """Customers of a product write the same each time."""
    r = random.Random(product)
    return [" ".join(r.choices(WORDS, k=30)) for _ in range(150)]


def score_review(text):
    words = text.split()
    good = sum(word in GOOD for word in words)
    bad = sum(word in BAD for word in words)
    return 1 + 4 * (good + 1) / (good + bad + 2)


def frequent_words(reviews):
    counts = collections.Counter()
    for text in reviews:
        for word in text.split():
            counts[word.casefold()] += 1
    return [word for word, _ in counts.most_common(5)]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/healthz":
            self.answer({})
            return
        reviews = write_reviews(self.path.rpartition("/")[2])
        stars = sum(map(score_review, reviews)) / len(reviews)
        self.answer({"stars": stars, "words": frequent_words(reviews)})

    def answer(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(("", 8080), Handler).serve_forever()
