/* minimal CoreCLR host: clrhost RUNTIME_DIR PROGRAM.exe ARGS... ; needs no ICU */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <limits.h>
typedef int (*init_fn)(const char *, const char *, int, const char **, const char **, void **, unsigned *);
typedef int (*exec_fn)(void *, unsigned, int, const char **, const char *, unsigned *);
int main(int argc, char **argv) {
    setenv("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1", 1);
    char lib[PATH_MAX], exe[PATH_MAX], rt[PATH_MAX]; if (argc < 3 || !realpath(argv[1], rt) || !realpath(argv[2], exe)) { fprintf(stderr, "usage\n"); return 2; }
    snprintf(lib, sizeof lib, "%s/libcoreclr.so", rt); void *h = dlopen(lib, RTLD_NOW); if (!h) { fprintf(stderr, "%s\n", dlerror()); return 2; }
    init_fn init = (init_fn)dlsym(h, "coreclr_initialize"); exec_fn run = (exec_fn)dlsym(h, "coreclr_execute_assembly");
    size_t cap = 1 << 20; char *tpa = calloc(1, cap); DIR *d = opendir(rt); struct dirent *e;
    while ((e = readdir(d))) { size_t n = strlen(e->d_name); if (n > 4 && !strcmp(e->d_name + n - 4, ".dll")) { strcat(tpa, rt); strcat(tpa, "/"); strcat(tpa, e->d_name); strcat(tpa, ":"); } }
    strcat(tpa, exe);
    const char *k[] = { "TRUSTED_PLATFORM_ASSEMBLIES", "NATIVE_DLL_SEARCH_DIRECTORIES" }, *v[] = { tpa, rt }; void *host; unsigned dom, code = 1;
    int r = init(exe, "subject", 2, k, v, &host, &dom); if (r) { fprintf(stderr, "init %x\n", r); return 2; }
    r = run(host, dom, argc - 3, (const char **)argv + 3, exe, &code); if (r) fprintf(stderr, "exec %x\n", r); return r ? 2 : (int)code;
}
