// Runs a program with less than this process may do:
//   confined [--no-io-uring] [--memlock BYTES] -- PROGRAM [ARGUMENT...]
// --no-io-uring  a seccomp filter makes io_uring_setup fail with EPERM
// --memlock      the limit on locked memory, and the capability that lifts it is given up
// Exit code 77 if it cannot be confined so here, 127 if there is no such program.

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

bool forbid_io_uring() {
  std::array<sock_filter, 4> filter{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog program{filter.size(), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

bool limit_locked_memory(rlim_t bytes) {
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) return false;
  // Of a process without privileges there is nothing to give up.
  return prctl(PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0) == 0 || geteuid() != 0;
}

}  // namespace

int main(int count, char** values) {
  int at = 1;
  for (; at < count && std::string(values[at]) != "--"; ++at) {
    const std::string option = values[at];
    bool done = false;
    if (option == "--no-io-uring") {
      done = forbid_io_uring();
    } else if (option == "--memlock" && at + 1 < count) {
      done = limit_locked_memory(std::strtoull(values[++at], nullptr, 10));
    }
    if (!done) {
      std::perror(option.c_str());
      return 77;
    }
  }
  if (at + 1 < count) execv(values[at + 1], values + at + 1);
  return 127;
}
