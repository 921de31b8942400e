def burn(n):
    x = 1
    for i in range(n):
        x = (x * 1103515245 + i) & 0xffffffff
    return x
