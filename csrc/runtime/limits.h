// What the machine, and the container that the process may run in, allow it to use.
#pragma once

#include <cstdint>
#include <string>

namespace pullback {

// Cores that the process may be scheduled on.
int affinity_cores();

// The processor time that the cgroups (v1 or v2) of the process grant, in cores: 1.5 is 150 ms in 100 ms. 0
// where nothing limits it. `root` stands before /proc and /sys, for tests.
double cgroup_cpu_quota(const std::string& root = "");

// Bytes that the cgroups of the process grant; 0 where nothing limits it.
int64_t cgroup_memory_limit(const std::string& root = "");

// The machine's memory in bytes, or what the container may use where that is less.
int64_t memory_size();

}  // namespace pullback
