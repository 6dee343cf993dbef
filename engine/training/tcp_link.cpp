#include "engine/training/tcp_link.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace sr::train {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a stranger who says nothing keeps the others waiting.
constexpr milliseconds greeting_time{2000};

// What a process says first; rank 0 answers with the same, its own rank in it, to those it takes.
struct Greeting {
  char magic[8] = {'s', 'r', 't', 'r', 'a', 'i', 'n', '1'};
  uint64_t run = 0;  // hash of the run's name and the program's version
  int32_t rank = 0, size = 0;

  bool is_ours() const { return std::memcmp(magic, Greeting{}.magic, sizeof magic) == 0; }
};

// FNV-1a: the same on every machine.
uint64_t hash_of(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

Greeting greeting_of(const Ranks& ranks) {
  Greeting greeting;
  greeting.run = hash_of(ranks.run + " " SRENGINE_VERSION);
  greeting.rank = ranks.rank;
  greeting.size = ranks.size;
  return greeting;
}

Error trouble(const std::string& sentence) {
  return {Status::device_trouble, sentence};
}

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }

  template <class T>
  void set(int level, int option, const T& value) const {
    static_cast<void>(::setsockopt(fd_, level, option, &value, sizeof value));
  }

  // Data is on its way, or the end of it, before the deadline.
  bool is_readable(Clock::time_point deadline) const {
    pollfd wait{fd_, POLLIN, 0};
    const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now()).count();
    return ::poll(&wait, 1, static_cast<int>(std::max<int64_t>(left, 0))) > 0;
  }

  void send(const void* bytes, int64_t n) const {
    const char* at = static_cast<const char*>(bytes);
    while (n > 0) {
      const ssize_t sent = ::send(fd_, at, static_cast<size_t>(n), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) throw trouble(std::strerror(errno));
      at += sent;
      n -= sent;
    }
  }

  // A deadline is for those who may be strangers.
  void receive(void* bytes, int64_t n, const Clock::time_point* deadline = nullptr) const {
    char* at = static_cast<char*>(bytes);
    while (n > 0) {
      if (deadline && !is_readable(*deadline)) throw trouble("no answer");
      const ssize_t got = ::recv(fd_, at, static_cast<size_t>(n), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got == 0) throw trouble("connection closed");
      if (got < 0) throw trouble(std::strerror(errno));
      at += got;
      n -= got;
    }
  }

 private:
  int fd_;
};

// Small messages at once. Of a machine that was switched off one hears in a minute; a slow one is waited for.
void set_up(const Socket& socket) {
  socket.set(IPPROTO_TCP, TCP_NODELAY, 1);
  socket.set(SOL_SOCKET, SO_KEEPALIVE, 1);
  socket.set(IPPROTO_TCP, TCP_KEEPIDLE, 20);
  socket.set(IPPROTO_TCP, TCP_KEEPINTVL, 10);
  socket.set(IPPROTO_TCP, TCP_KEEPCNT, 4);
}

Socket listen_at(const Ranks& ranks) {
  int error = 0;
  for (const bool six : {true, false}) {  // one IPv6 socket takes IPv4 as well, where the system has IPv6
    // Not blocking: between poll and accept a connection may have gone again.
    Socket socket(::socket(six ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    socket.set(SOL_SOCKET, SO_REUSEADDR, 1);
    sockaddr_in6 any6{};
    any6.sin6_family = AF_INET6;
    any6.sin6_port = htons(static_cast<uint16_t>(ranks.port));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = any6.sin6_port;
    if (six) socket.set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
    const auto* address = six ? reinterpret_cast<const sockaddr*>(&any6) : reinterpret_cast<const sockaddr*>(&any);
    if (socket.is_open() && ::bind(socket.fd(), address, six ? sizeof any6 : sizeof any) == 0 &&
        ::listen(socket.fd(), SOMAXCONN) == 0)
      return socket;
    error = errno;
  }
  throw trouble(fmt::format("rank 0 cannot listen at port {} ({}); set MASTER_PORT to a free one for all processes",
                            ranks.port, std::strerror(error)));
}

// One that is of this run, with the rank that it says it is; closed where it is not.
int welcome(const Socket& socket, const Ranks& ranks, const std::vector<Socket>& others) {
  set_up(socket);
  const Clock::time_point deadline = Clock::now() + greeting_time;
  const Greeting own = greeting_of(ranks);
  Greeting greeting;
  try {
    socket.receive(&greeting, sizeof greeting, &deadline);
    if (!greeting.is_ours() || greeting.run != own.run || greeting.size != own.size || greeting.rank < 1 ||
        greeting.rank >= own.size || others[static_cast<size_t>(greeting.rank)].is_open())
      return -1;
    socket.send(&own, sizeof own);
    return greeting.rank;
  } catch (const Error&) {
    return -1;
  }
}

std::vector<Socket> gather(const Ranks& ranks, milliseconds patience) {
  const Clock::time_point deadline = Clock::now() + patience;
  const Socket listening = listen_at(ranks);
  std::vector<Socket> others(static_cast<size_t>(ranks.size));
  const auto missing = [&] {
    std::vector<int> list;
    for (int r = 1; r < ranks.size; r++)
      if (!others[static_cast<size_t>(r)].is_open()) list.push_back(r);
    return list;
  };
  while (!missing().empty()) {
    if (!listening.is_readable(deadline) && Clock::now() >= deadline)
      throw trouble(
          fmt::format("rank 0 has waited for {:.0f} s at port {}, and these of {} ranks have not come: {}; "
                      "look whether all were started alike, and whether their machines reach {}",
                      std::chrono::duration<double>(patience).count(), ranks.port, ranks.size,
                      fmt::join(missing(), ", "), ranks.address));
    Socket socket(::accept4(listening.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!socket.is_open()) continue;
    if (const int rank = welcome(socket, ranks, others); rank > 0)
      others[static_cast<size_t>(rank)] = std::move(socket);
  }
  return others;
}

// Null where nobody listens there yet, with the reason.
Socket try_to_reach(const Ranks& ranks, std::string& why_not) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int error = ::getaddrinfo(ranks.address.c_str(), std::to_string(ranks.port).c_str(), &hints, &list)) {
    why_not = ::gai_strerror(error);
    return Socket();
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> free_list(list, ::freeaddrinfo);
  for (const addrinfo* a = list; a; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (socket.is_open() && ::connect(socket.fd(), a->ai_addr, a->ai_addrlen) == 0) return socket;
    why_not = std::strerror(errno);
  }
  return Socket();
}

Socket reach(const Ranks& ranks, milliseconds patience) {
  const Clock::time_point deadline = Clock::now() + patience;
  std::string why_not;
  for (;; std::this_thread::sleep_for(milliseconds(200))) {
    Socket socket = try_to_reach(ranks, why_not);
    if (socket.is_open()) try {
        set_up(socket);
        const Greeting own = greeting_of(ranks);
        Greeting answer;
        socket.send(&own, sizeof own);
        socket.receive(&answer, sizeof answer, &deadline);
        if (answer.is_ours() && answer.run == own.run && answer.rank == 0) return socket;
        why_not = "another program answers there";
      } catch (const Error& e) {
        why_not = fmt::format("{}; it takes processes of its own run and version alone", e.what());
      }
    if (Clock::now() >= deadline)
      throw trouble(
          fmt::format("rank {} does not reach rank 0 at {}, port {} ({}); MASTER_ADDR and MASTER_PORT say "
                      "where it is",
                      ranks.rank, ranks.address, ranks.port, why_not));
  }
}

class TcpLink final : public Link {
 public:
  TcpLink(const Ranks& ranks, milliseconds patience) : rank_(ranks.rank), size_(ranks.size) {
    if (rank_ == 0)
      others_ = gather(ranks, patience);
    else
      others_.push_back(reach(ranks, patience));
  }
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void send(int to, const void* bytes, int64_t n) override { others_[static_cast<size_t>(to)].send(bytes, n); }
  void receive(int from, void* bytes, int64_t n) override { others_[static_cast<size_t>(from)].receive(bytes, n); }

 private:
  int rank_, size_;
  std::vector<Socket> others_;  // by rank
};

}  // namespace

std::unique_ptr<Link> open_tcp_link(const Ranks& ranks, milliseconds patience) {
  return std::make_unique<TcpLink>(ranks, patience);
}

}  // namespace sr::train
