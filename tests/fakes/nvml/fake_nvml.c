/* A stand-in for NVIDIA's libnvidia-ml.so.1. What it answers stands in the file that FAKE_NVML_SCENARIO names; the file
 * is read again at every call, so a test changes the world while a program looks at it. Lines of tab-separated fields,
 * the first is the kind of the line, the others are key=value:
 *
 *   driver  version=550.54
 *   error   call=nvmlInitWithFlags  code=18  [uuid=GPU-..]      this call (on this device) answers with the code
 *   hang    call=nvmlDeviceGetUUID                              this call does not return while the line is there
 *   gpu     uuid= name= total= used= reserved= util= bus= temperature= power= energy= mig=0|1 recovery= remap=
 *   mig     parent= uuid= name= total= used= reserved=
 *   process uuid= pid= memory= kind=compute|graphics|mps
 *   nvlink  uuid= link= to=BUS
 *   near    a= b= level=
 *   xid     serial= uuid= xid=                                  delivered once to each event set that exists
 *
 * A value "N/A" is one the driver does not know. -DOLD_DRIVER leaves out what drivers before 2022 do not have.
 *
 * Processes that allocate through the stand-in for libcuda (fake_cuda.c) come on top of that: each has a file "PID" with
 * "uuid bytes" in the folder FAKE_NVML_SCENARIO.taken, locked for as long as the process lives.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10 };
enum { FIELDS = 20, HANDLES = 64, RECOVERY_FIELD = 230, UNSIGNED_INT = 1 };
typedef unsigned long long u64;
typedef struct { char uuid[96]; } Device;
typedef struct { long serial; } EventSet;
typedef struct { char text[2048]; char *kind; char *key[FIELDS]; char *value[FIELDS]; int count; } Line;

static Device handles[HANDLES];

/* -- the scenario file */

static FILE *scenario(void) {
    const char *path = getenv("FAKE_NVML_SCENARIO");
    return path ? fopen(path, "r") : NULL;
}

static int next_line(FILE *file, Line *line) {
    char *rest, *field;
    while (file && fgets(line->text, sizeof line->text, file)) {
        line->text[strcspn(line->text, "\n")] = 0;
        line->count = 0;
        rest = line->text;
        line->kind = strsep(&rest, "\t");
        while ((field = strsep(&rest, "\t")) && line->count < FIELDS) {
            char *equals = strchr(field, '=');
            if (!equals) continue;
            *equals = 0;
            line->key[line->count] = field;
            line->value[line->count++] = equals + 1;
        }
        if (*line->kind) return 1;
    }
    return 0;
}

static const char *get(const Line *line, const char *key) {
    for (int i = 0; i < line->count; i++)
        if (!strcmp(line->key[i], key)) return line->value[i];
    return "";
}

static int number(const Line *line, const char *key, u64 *result) {
    const char *text = get(line, key);
    if (!*text || !strcmp(text, "N/A")) return 0;
    *result = strtoull(text, NULL, 10);
    return 1;
}

/* The n-th line of a kind whose field `key` has this value (any value for NULL); 0 when there is none. */
static int find(const char *kind, const char *key, const char *value, unsigned n, Line *line) {
    FILE *file = scenario();
    int found = 0;
    while (!found && next_line(file, line))
        if (!strcmp(line->kind, kind) && (!value || !strcmp(get(line, key), value)) && !n--) found = 1;
    if (file) fclose(file);
    return found;
}

static unsigned count(const char *kind, const char *key, const char *value) {
    Line line;
    unsigned n = 0;
    while (find(kind, key, value, n, &line)) n++;
    return n;
}

static int told_error(const char *call, const char *uuid) {
    Line line;
    for (unsigned n = 0; find("error", "call", call, n, &line); n++)
        if (!*get(&line, "uuid") || (uuid && !strcmp(get(&line, "uuid"), uuid))) return atoi(get(&line, "code"));
    for (unsigned n = 0; uuid && find("error", "call", "*", n, &line); n++)
        if (!strcmp(get(&line, "uuid"), uuid)) return atoi(get(&line, "code"));
    return OK;
}

static int begin(const char *call, const Device *device) {
    Line line;
    while (find("hang", "call", call, 0, &line)) usleep(5000);
    return told_error(call, device ? device->uuid : NULL);
}

/* -- what living processes have allocated */

typedef struct { unsigned pid; u64 bytes; char uuid[96]; } Taken;

static DIR *open_taken(void) {
    char folder[4096];
    snprintf(folder, sizeof folder, "%s.taken", getenv("FAKE_NVML_SCENARIO") ? getenv("FAKE_NVML_SCENARIO") : "");
    return opendir(folder);
}

static int next_taken(DIR *open, Taken *taken) {
    struct dirent *entry;
    while (open && (entry = readdir(open))) {
        char text[256] = "";
        int file = openat(dirfd(open), entry->d_name, O_RDONLY | O_CLOEXEC);
        int lives = flock(file, LOCK_SH | LOCK_NB) != 0;
        taken->pid = atoi(entry->d_name);
        int known = taken->pid && pread(file, text, sizeof text - 1, 0) > 0
                    && sscanf(text, "%95s %llu", taken->uuid, &taken->bytes) == 2;
        close(file);
        if (known && lives) return 1;
    }
    return 0;
}

static u64 taken_of(const char *uuid) {
    Taken taken;
    u64 sum = 0;
    DIR *open = open_taken();
    while (next_taken(open, &taken))
        if (!strcmp(taken.uuid, uuid)) sum += taken.bytes;
    if (open) closedir(open);
    return sum;
}

#define BEGIN(device) { int code = begin(__func__, device); if (code) return code; }
#define ROW(device, row) Line row; { if (!row_of(device, &row)) return NOT_FOUND; }

static int row_of(const Device *device, Line *line) {
    return device && (find("gpu", "uuid", device->uuid, 0, line) || find("mig", "uuid", device->uuid, 0, line));
}

static Device *handle(const char *uuid) {
    for (int i = 0; i < HANDLES; i++) {
        if (!*handles[i].uuid) snprintf(handles[i].uuid, sizeof handles[i].uuid, "%s", uuid);
        if (!strcmp(handles[i].uuid, uuid)) return &handles[i];
    }
    return NULL;
}

static int copy(char *target, unsigned size, const char *text) {
    if (strlen(text) >= size) return TOO_SMALL;
    strcpy(target, text);
    return OK;
}

static int one_number(const Device *device, const char *key, unsigned *result) {
    u64 value;
    ROW(device, row);
    if (!number(&row, key, &value)) return UNSUPPORTED;
    *result = (unsigned)value;
    return OK;
}

/* -- the library */

int nvmlInitWithFlags(unsigned flags) { (void)flags; BEGIN(NULL); return OK; }
int nvmlInit_v2(void) { BEGIN(NULL); return OK; }
int nvmlShutdown(void) { BEGIN(NULL); return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of the stand-in library"; }

int nvmlSystemGetDriverVersion(char *version, unsigned size) {
    Line line;
    BEGIN(NULL);
    return copy(version, size, find("driver", NULL, NULL, 0, &line) ? get(&line, "version") : "0");
}

int nvmlDeviceGetCount_v2(unsigned *result) { BEGIN(NULL); *result = count("gpu", NULL, NULL); return OK; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device **result) {
    Line line;
    if (!find("gpu", NULL, NULL, index, &line)) return INVALID;
    *result = handle(get(&line, "uuid"));
    BEGIN(*result);
    return OK;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device **result) {
    Device probe;
    Line line;
    snprintf(probe.uuid, sizeof probe.uuid, "%s", uuid);
    if (!row_of(&probe, &line)) return NOT_FOUND;
    *result = handle(uuid);
    BEGIN(*result);
    return OK;
}

int nvmlDeviceGetUUID(Device *device, char *uuid, unsigned size) {
    BEGIN(device);
    ROW(device, row);
    return copy(uuid, size, get(&row, "uuid"));
}

int nvmlDeviceGetName(Device *device, char *name, unsigned size) {
    BEGIN(device);
    ROW(device, row);
    return copy(name, size, get(&row, "name"));
}

typedef struct {
    char busIdLegacy[16];
    unsigned domain, bus, device, pciDeviceId, pciSubSystemId;
    char busId[32];
} Pci;

static int fill_pci(Pci *pci, const char *bus) {
    memset(pci, 0, sizeof *pci);
    if (sscanf(bus, "%x:%x:%x", &pci->domain, &pci->bus, &pci->device) != 3) return UNSUPPORTED;
    snprintf(pci->busId, sizeof pci->busId, "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
    return OK;
}

int nvmlDeviceGetPciInfo_v3(Device *device, Pci *pci) {
    BEGIN(device);
    ROW(device, row);
    return fill_pci(pci, get(&row, "bus"));
}

typedef struct { u64 total, free, used; } Memory;
typedef struct { unsigned version; u64 total, reserved, free, used; } Memory2;

static int memory(const Device *device, Memory2 *result) {
    ROW(device, row);
    if (!number(&row, "total", &result->total) || !number(&row, "used", &result->used)) return UNSUPPORTED;
    result->used += taken_of(device->uuid);
    result->reserved = 0;
    number(&row, "reserved", &result->reserved);
    u64 taken = result->used + result->reserved;
    result->free = result->total > taken ? result->total - taken : 0;
    return OK;
}

int nvmlDeviceGetMemoryInfo(Device *device, Memory *result) {
    Memory2 found;
    BEGIN(device);
    int code = memory(device, &found);
    if (!code) *result = (Memory){found.total, found.free, found.used + found.reserved};
    return code;
}

static int processes(const Device *device, const char *kind, unsigned *size, void *list) {
    struct Process { unsigned pid; u64 memory; unsigned gi, ci; } *target = list;
    Line line;
    unsigned found = 0, room = *size;
    ROW(device, row);
    for (unsigned n = 0; find("process", "uuid", device->uuid, n, &line); n++) {
        if (strcmp(get(&line, "kind"), kind)) continue;
        if (target && found < room) {
            target[found] = (struct Process){atoi(get(&line, "pid")), ~0ULL, ~0U, ~0U};
            number(&line, "memory", &target[found].memory);
        }
        found++;
    }
    if (!strcmp(kind, "compute")) {
        Taken taken;
        DIR *open = open_taken();
        while (next_taken(open, &taken)) {
            if (strcmp(taken.uuid, device->uuid)) continue;
            if (target && found < room) target[found] = (struct Process){taken.pid, taken.bytes, ~0U, ~0U};
            found++;
        }
        if (open) closedir(open);
    }
    *size = found;
    return found > room ? TOO_SMALL : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device *device, unsigned *size, void *list) {
    BEGIN(device);
    return processes(device, "compute", size, list);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device *device, unsigned *size, void *list) {
    BEGIN(device);
    return processes(device, "graphics", size, list);
}

int nvmlDeviceGetUtilizationRates(Device *device, unsigned rates[2]) {
    BEGIN(device);
    rates[1] = 0;
    return one_number(device, "util", &rates[0]);
}

int nvmlDeviceGetTemperature(Device *device, int sensor, unsigned *result) {
    (void)sensor;
    BEGIN(device);
    return one_number(device, "temperature", result);
}

int nvmlDeviceGetPowerUsage(Device *device, unsigned *result) { BEGIN(device); return one_number(device, "power", result); }

int nvmlDeviceGetEnforcedPowerLimit(Device *device, unsigned *result) {
    BEGIN(device);
    return one_number(device, "power_limit", result);
}

int nvmlDeviceGetMigMode(Device *device, unsigned *current, unsigned *pending) {
    BEGIN(device);
    int code = one_number(device, "mig", current);
    *pending = *current;
    return code;
}

int nvmlDeviceGetMaxMigDeviceCount(Device *device, unsigned *result) { BEGIN(device); *result = 7; return OK; }

int nvmlDeviceGetMigDeviceHandleByIndex(Device *device, unsigned index, Device **result) {
    Line line;
    BEGIN(device);
    if (!find("mig", "parent", device->uuid, index, &line)) return NOT_FOUND;
    *result = handle(get(&line, "uuid"));
    return OK;
}

int nvmlDeviceGetTopologyCommonAncestor(Device *one, Device *other, unsigned *level) {
    Line line;
    BEGIN(one);
    for (unsigned n = 0; find("near", NULL, NULL, n, &line); n++) {
        const char *a = get(&line, "a"), *b = get(&line, "b");
        if ((!strcmp(a, one->uuid) && !strcmp(b, other->uuid)) || (!strcmp(b, one->uuid) && !strcmp(a, other->uuid))) {
            *level = atoi(get(&line, "level"));
            return OK;
        }
    }
    return UNSUPPORTED;
}

static int nvlink(const Device *device, unsigned link, Line *line) {
    for (unsigned n = 0; find("nvlink", "uuid", device->uuid, n, line); n++)
        if ((unsigned)atoi(get(line, "link")) == link) return 1;
    return 0;
}

int nvmlDeviceGetNvLinkState(Device *device, unsigned link, unsigned *active) {
    Line line;
    BEGIN(device);
    if (!count("nvlink", "uuid", device->uuid)) return UNSUPPORTED;
    if (link >= 18) return INVALID;
    *active = nvlink(device, link, &line);
    return OK;
}

int nvmlDeviceGetNvLinkRemotePciInfo_v2(Device *device, unsigned link, Pci *pci) {
    Line line;
    BEGIN(device);
    return nvlink(device, link, &line) ? fill_pci(pci, get(&line, "to")) : INVALID;
}

/* -- events */

static long last_xid(void) {
    Line line;
    long last = 0;
    for (unsigned n = 0; find("xid", NULL, NULL, n, &line); n++)
        if (atol(get(&line, "serial")) > last) last = atol(get(&line, "serial"));
    return last;
}

int nvmlEventSetCreate(EventSet **set) {
    BEGIN(NULL);
    *set = malloc(sizeof **set);
    (*set)->serial = last_xid();
    return OK;
}

int nvmlEventSetFree(EventSet *set) { BEGIN(NULL); free(set); return OK; }

int nvmlDeviceRegisterEvents(Device *device, u64 types, EventSet *set) { (void)types, (void)set; BEGIN(device); return OK; }

typedef struct { Device *device; u64 type, data; unsigned gi, ci; } Event;

int nvmlEventSetWait_v2(EventSet *set, Event *event, unsigned milliseconds) {
    Line line;
    BEGIN(NULL);
    for (unsigned n = 0; find("xid", NULL, NULL, n, &line); n++)
        if (atol(get(&line, "serial")) > set->serial) {
            set->serial = atol(get(&line, "serial"));
            *event = (Event){handle(get(&line, "uuid")), 8, strtoull(get(&line, "xid"), NULL, 10), ~0U, ~0U};
            return OK;
        }
    usleep(milliseconds * 1000);
    return TIMEOUT;
}

#ifndef OLD_DRIVER

int nvmlDeviceGetMemoryInfo_v2(Device *device, Memory2 *result) {
    BEGIN(device);
    return memory(device, result);
}

int nvmlDeviceGetMPSComputeRunningProcesses_v3(Device *device, unsigned *size, void *list) {
    BEGIN(device);
    return processes(device, "mps", size, list);
}

int nvmlDeviceGetTotalEnergyConsumption(Device *device, u64 *result) {
    BEGIN(device);
    ROW(device, row);
    return number(&row, "energy", result) ? OK : UNSUPPORTED;
}

int nvmlDeviceGetRemappedRows(Device *device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed) {
    unsigned state;
    BEGIN(device);
    int code = one_number(device, "remap", &state);
    *corrected = *uncorrected = 0;
    *pending = !code && state == 1;
    *failed = !code && state == 2;
    return code;
}

typedef struct {
    unsigned field, scope;
    long long timestamp, latency;
    unsigned type, code;
    union { double number; unsigned whole; u64 large; } value;
} Field;

int nvmlDeviceGetFieldValues(Device *device, int size, Field *fields) {
    BEGIN(device);
    for (int i = 0; i < size; i++) {
        fields[i].type = UNSIGNED_INT;
        fields[i].code = fields[i].field == RECOVERY_FIELD ? one_number(device, "recovery", &fields[i].value.whole) : UNSUPPORTED;
    }
    return OK;
}

#endif
