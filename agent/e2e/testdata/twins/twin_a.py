import burn


def work(n):
    return burn.burn(n)
