/* endpoint.h - the file that an agent shares with the processes that preload endpoint.c.
 *
 *   offset 0          struct ep_table, struct ep_entry[capacity]    written by the agent, mapped read-only by processes
 *   counts_offset     struct ep_counts, struct ep_count[capacity]   written by processes, read by the agent
 *
 * The agent makes the file once, at its full size, and then writes in place. It never truncates it (a process that reads
 * beyond the end dies of SIGBUS) and never replaces it by rename (processes would go on reading the old one).
 *
 * Entries are only appended; the virtual address and the proof of one never change, and all addresses are in 127.0.0.0/8. To re-target an entry the
 * agent makes seq odd, writes target and flags, counts gen up, makes seq even; then it counts the table's gen up and wakes
 * whoever sleeps on that word (futex).
 *
 * An image is what one execve() made of a process, with all that it forks. The library notes each image that has loaded it, as the bit
 * whose number is a hash (EP_MIX) of what the kernel told the image in its auxiliary vector and random in part: AT_RANDOM, AT_SYSINFO_EHDR,
 * AT_BASE, AT_SECURE. The agent reads the same of a process in /proc/PID/auxv. A process id would not do: it stays when a shell
 * that has the library becomes a program that has not.
 *
 * Addresses and ports are in network order, all else in the machine's. table.go has the same layout, and a test compares them.
 */
#ifndef TFOS_ENDPOINT_H
#define TFOS_ENDPOINT_H

#include <stdint.h>

#define EP_MAGIC "TFOSEP03"
#define EP_MIX 0x9e3779b97f4a7c15u /* hash = (hash ^ value) * EP_MIX; hash ^= hash >> 32, for each value in turn, from 0 */
#define EP_LIVE 1u /* flags: there is a target; otherwise connect() fails with ECONNREFUSED */

struct ep_table {
	char     magic[8];
	uint32_t gen;           /* counts changes; processes sleep on it */
	uint32_t count;         /* entries in use */
	uint32_t capacity;      /* entries there is room for */
	uint32_t counts_offset; /* a multiple of the page size of every machine, 64 KiB */
	uint8_t  self_vaddr[4]; /* the task's own virtual address: */
	uint16_t self_vport;    /* who binds it gets self_port */
	uint16_t self_port;     /* 0: binds are left alone */
	uint8_t  pad[32];
};

struct ep_entry {
	uint32_t seq;       /* odd while the agent writes */
	uint32_t gen;       /* of the target: connections made under another one are reset */
	uint8_t  vaddr[4];
	uint16_t vport;
	uint16_t flags;
	uint8_t  taddr[16]; /* the target: IPv6, or ::ffff:a.b.c.d */
	uint16_t tport;
	uint16_t pport;     /* where, at the same address, who holds tport proves that it does; 0: nobody need */
	uint8_t  proof[16]; /* what it says there; it never changes */
	uint8_t  pad[12];
};

struct ep_counts {
	uint32_t processes; /* that have the library, ever */
	uint32_t binds;     /* of the task's own address */
	uint8_t  pad[56];
	uint32_t images[2048]; /* a bit for each image that has the library: see below */
};

struct ep_count {
	uint64_t connections; /* begun, to a target */
	uint64_t refused;     /* there was no target, or it did not prove who it is */
	uint64_t resets;      /* by a re-target */
	uint64_t pad;
};

_Static_assert(sizeof(struct ep_table) == 64 && sizeof(struct ep_entry) == 64, "layout");
_Static_assert(sizeof(struct ep_counts) == 64 + 8192 && sizeof(struct ep_count) == 32, "layout");

#endif
