#include "runtime/limits.h"

#include <fstream>
#include <optional>
#include <sstream>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#endif
#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace pullback {
namespace {

// The group of the process in the hierarchy of `controller`, "" being cgroup v2's only one. The lines of
// /proc/self/cgroup are number:controllers:path, as in "4:cpu,cpuacct:/user.slice" and "0::/user.slice".
std::optional<std::string> group_of(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    if (controllers.find("," + controller + ",") != std::string::npos) return line.substr(second + 1);
  }
  return std::nullopt;
}

// The folders of that group and of all groups above it, whose limits hold too. A container often sees its own
// group mounted as the top one under a path that only the host has; the folders in between are then missing.
std::vector<std::string> folders_of(const std::string& root, const std::string& controller) {
  std::optional<std::string> group = group_of(root, controller);
  if (!group) return {};
  const std::string top = root + "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  std::vector<std::string> folders;
  while (group->size() > 1) {
    folders.push_back(top + *group);
    group->resize(group->rfind('/') == std::string::npos ? 0 : group->rfind('/'));
  }
  folders.push_back(top);
  return folders;
}

// The number at the start of a file, 0 where there is none ("max", "-1" and a missing file say: no limit).
double number_in(const std::string& path) {
  double number = 0;
  std::ifstream file(path);
  return file >> number && number > 0 ? number : 0;
}

// The lower of two limits, 0 being none.
double tighter(double a, double b) { return a == 0 || (b != 0 && b < a) ? b : a; }

}  // namespace

int affinity_cores() {
#if defined(__linux__)
  cpu_set_t mask;
  if (sched_getaffinity(0, sizeof(mask), &mask) == 0) return CPU_COUNT(&mask);
#endif
  const unsigned cores = std::thread::hardware_concurrency();
  return cores > 0 ? static_cast<int>(cores) : 1;
}

double cgroup_cpu_quota(const std::string& root) {
  double cores = 0;
  for (const std::string& folder : folders_of(root, "")) {
    double quota = 0;
    double period = 0;
    std::ifstream file(folder + "/cpu.max");
    if (file >> quota >> period && period > 0) cores = tighter(cores, quota / period);
  }
  for (const std::string& folder : folders_of(root, "cpu")) {
    const double quota = number_in(folder + "/cpu.cfs_quota_us");
    const double period = number_in(folder + "/cpu.cfs_period_us");
    if (period > 0) cores = tighter(cores, quota / period);
  }
  return cores;
}

int64_t cgroup_memory_limit(const std::string& root) {
  double bytes = 0;
  for (const std::string& folder : folders_of(root, "")) {
    bytes = tighter(bytes, number_in(folder + "/memory.max"));
  }
  for (const std::string& folder : folders_of(root, "memory")) {
    bytes = tighter(bytes, number_in(folder + "/memory.limit_in_bytes"));
  }
  // cgroup v1 writes "no limit" as the largest multiple of a page.
  return bytes < 0x1p62 ? static_cast<int64_t>(bytes) : 0;
}

int64_t memory_size() {
  int64_t bytes = int64_t{4} << 30;  // a cautious guess where the system does not tell
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
  const int64_t pages = sysconf(_SC_PHYS_PAGES);
  if (pages > 0) bytes = pages * sysconf(_SC_PAGESIZE);
#endif
  const int64_t limit = cgroup_memory_limit();
  return limit > 0 && limit < bytes ? limit : bytes;
}

}  // namespace pullback
