// What was measured: latencies in a histogram, CPU time of both sides, and the line that is printed at the end.
#include "load.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// 64 buckets for each power of two of microseconds: at most 1.6 % off.
static uint64_t histogram[64 * 64];
static uint64_t longest_ns;

void record_latency(uint64_t nanoseconds) {
  uint64_t us = nanoseconds / 1000;
  if (us < 1) us = 1;
  if (nanoseconds > longest_ns) longest_ns = nanoseconds;
  int power = 63 - __builtin_clzll(us);
  int part = (int)(power >= 6 ? us >> (power - 6) & 63 : us << (6 - power) & 63);
  histogram[power * 64 + part]++;
}

double latency_us(double part) {
  uint64_t total = 0, seen = 0;
  for (int index = 0; index < 64 * 64; index++) total += histogram[index];
  for (int index = 0; index < 64 * 64; index++) {
    seen += histogram[index];
    if (seen == 0 || (double)seen < (double)total * part) continue;
    int power = index / 64, rest = index % 64;
    return (double)(1ull << power) + (power >= 6 ? (double)((uint64_t)rest << (power - 6)) : (double)(rest >> (6 - power)));
  }
  return 0;
}

// User and system time of all its threads; the name in the second field may hold spaces.
static double cpu_of(int pid) {
  if (pid == 0) return 0;
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("the broker is gone (process %d)", pid);
  size_t length = fread(text, 1, sizeof text - 1, file);
  fclose(file);
  text[length] = 0;
  unsigned long user = 0, system = 0;
  const char *rest = strrchr(text, ')');
  if (rest != NULL) sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

// How long a core was busy, with whatever; -1: not known.
static double core_busy(int core) {
  char name[16];
  snprintf(name, sizeof name, "cpu%d", core);
  FILE *file = fopen("/proc/stat", "r");
  char line[512];
  double busy = -1;
  while (file != NULL && fgets(line, sizeof line, file) != NULL) {
    unsigned long user, nice, system, idle, wait, irq, softirq, steal;
    char found[16];
    int fields = sscanf(line, "%15s %lu %lu %lu %lu %lu %lu %lu %lu", found, &user, &nice, &system, &idle, &wait, &irq,
                        &softirq, &steal);
    if (fields < 9 || strcmp(found, name) != 0) continue;
    busy = (double)(user + nice + system + irq + softirq + steal) / (double)sysconf(_SC_CLK_TCK);
  }
  if (file != NULL) fclose(file);
  return busy;
}

static double own_cpu(void) {
  struct timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

Mark mark(void) {
  return (Mark){.at = now_seconds(),
                .broker_cpu = cpu_of(options.broker_pid),
                .own_cpu = own_cpu(),
                .broker_core_busy = core_busy(options.broker_core),
                .own_core_busy = core_busy(options.own_core),
                .counters = counters};
}

void print_figures(const Mark *from, const Mark *to) {
  double seconds = to->at - from->at;
  printf("{\"measuredS\":%.4f,\"connected\":%lu,\"published\":%lu,\"delivered\":%lu,\"acknowledged\":%lu,", seconds,
         to->counters.connected - from->counters.connected, to->counters.published - from->counters.published,
         to->counters.delivered - from->counters.delivered, to->counters.acknowledged - from->counters.acknowledged);
  printf("\"publishedInAll\":%lu,\"p50Us\":%.0f,\"p99Us\":%.0f,\"p999Us\":%.0f,\"maxUs\":%.0f,\"brokerCpuS\":%.3f,\"generatorCpuS\":%.3f,",
         to->counters.published, latency_us(0.5), latency_us(0.99), latency_us(0.999), (double)longest_ns / 1000,
         to->broker_cpu - from->broker_cpu, to->own_cpu - from->own_cpu);
  printf("\"brokerCoreBusyS\":%.3f,\"generatorCoreBusyS\":%.3f}\n", to->broker_core_busy - from->broker_core_busy,
         to->own_core_busy - from->own_core_busy);
  fflush(stdout);
}
