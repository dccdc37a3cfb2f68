/* Requests on plain-text TCP and unix stream sockets. Four taps see the same bytes and make the same records, see `ways` in
 * probe.toml; a connection that nobody can read leaves each of them after a look at its state. */
#include "probe.bpf.h"
#include "socket_tracepoints.bpf.h"
#include "function_ends.bpf.h"
#include "function_probes.bpf.h"
#include "system_call_ends.bpf.h"
