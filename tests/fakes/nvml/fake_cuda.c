/* A stand-in for libcuda.so.1 that "allocates" on the devices of the stand-in libnvidia-ml.so.1: what a process takes
 * shows there, under its pid, until the process is gone. It sees the first device that CUDA_VISIBLE_DEVICES names. */
#include "fake_nvml.c"
#include <errno.h>
#include <sys/stat.h>

enum { OUT_OF_MEMORY = 2, NO_DEVICE = 100 };
static const u64 CONTEXT = 300ULL << 20;
static Device here;
static u64 mine;

int cuInit(unsigned flags) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    Line line;
    (void)flags;
    if (!visible || !*visible) return NO_DEVICE;
    snprintf(here.uuid, sizeof here.uuid, "%.*s", (int)strcspn(visible, ","), visible);
    return row_of(&here, &line) ? OK : NO_DEVICE;
}

int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return ordinal ? NO_DEVICE : OK; }

static int claim(long long more) {
    static int file = -1;
    char path[4096], text[128];
    Memory2 now;
    if (memory(&here, &now)) return NO_DEVICE;
    if (more > 0 && (u64)more > now.free) return OUT_OF_MEMORY;
    if (file < 0) {
        snprintf(path, sizeof path, "%s.taken", getenv("FAKE_NVML_SCENARIO"));
        mkdir(path, 0700);
        snprintf(path, sizeof path, "%s.taken/%d", getenv("FAKE_NVML_SCENARIO"), getpid());
        file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file < 0) return errno;
        flock(file, LOCK_EX);
    }
    mine += more;
    int length = snprintf(text, sizeof text, "%s %-20llu", here.uuid, mine);
    return pwrite(file, text, length, 0) == length ? OK : errno;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    (void)flags, (void)device;
    *context = &here;
    return claim((long long)CONTEXT);
}

int cuMemAlloc_v2(u64 *address, size_t size) {
    u64 *block = malloc(sizeof *block);
    *block = size;
    *address = (u64)(size_t)block;
    return claim((long long)size);
}

int cuMemFree_v2(u64 address) {
    u64 *block = (u64 *)(size_t)address;
    long long size = (long long)*block;
    free(block);
    return claim(-size);
}
