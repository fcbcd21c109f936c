/* packets.c - a fuzz target for libFuzzer: what the plugin makes of the packets of a DataNode.
 *
 * Byte i of the file is content(i). The input says which part of a block is read, how the DataNode cuts it into packets, which bytes of
 * those packets change on their way, and how much each read wants. The packets come with checksums that fit the unchanged content, so a
 * change is seen by the checksum, or is in a header. Whatever changes, a read delivers no byte but those of content.
 */
#include "../files.c"

void TF_SetStatus(TF_Status *s, int code, const char *message) { (void)s, (void)code, (void)message; }

#define ROOM (96 << 10) /* what a socket takes before anybody reads */

static unsigned char content(uint64_t i) { return (unsigned char)(i * 131 + (i >> 8)); }

/* The input, and what has been read of it. Behind its end are zeros. */
struct input {
	const uint8_t *at, *end;
};

static unsigned int number(struct input *in, int bytes)
{
	unsigned int n = 0;
	while (bytes--)
		n = n << 8 | (in->at < in->end ? *in->at++ : 0);
	return n;
}

static uint32_t checksum(const unsigned char *p, size_t n)
{
	static uint32_t table[256];
	for (uint32_t i = 0; i < 256 && !table[255]; i++) {
		table[i] = i;
		for (int bit = 0; bit < 8; bit++)
			table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0x82f63b78 : 0);
	}
	uint32_t c = 0xffffffff;
	while (n--)
		c = c >> 8 ^ table[(c ^ *p++) & 255];
	return ~c;
}

/* Appends a packet of n bytes of data, offset into the block, which begins at an offset of the file. */
static size_t put_packet(unsigned char *b, uint64_t block, uint64_t offset, uint32_t n, uint32_t chunk)
{
	uint32_t sums = chunk ? (uint32_t)(((uint64_t)n + chunk - 1) / chunk * 4) : 0, total = __builtin_bswap32(4 + sums + n);
	unsigned char *data = b + PACKET_HEAD + sums;
	memset(b, 0, PACKET_HEAD);
	memcpy(b, &total, 4);
	b[5] = 25;
	b[6] = 0x09;
	memcpy(b + 7, &offset, 8);
	b[15] = 0x11;
	b[24] = 0x18;
	b[25] = n == 0;
	b[26] = 0x25;
	memcpy(b + 27, &n, 4);
	for (uint32_t i = 0; i < n; i++)
		data[i] = content(block + offset + i);
	for (uint32_t i = 0; i < sums / 4; i++) {
		uint32_t left = n - i * chunk, sum = __builtin_bswap32(checksum(data + i * chunk, left < chunk ? left : chunk));
		memcpy(b + PACKET_HEAD + 4 * i, &sum, 4);
	}
	return PACKET_HEAD + sums + n;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	static const uint32_t chunks[] = {0, 256, 300, 512, 4096, 1 << 20, 0xffffffff, 257};
	static unsigned char wire[ROOM + PACKET_HEAD + (64 << 10) + 4 * 256];
	struct input in = {bytes, bytes + size};
	struct stream s = {.open = true};
	size_t length = 0;
	bool intact = true;
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds))
		abort();
	s.fd = fds[0];
	s.chunk = chunks[number(&in, 1) % 8];
	s.block = number(&in, 2);
	s.packet = s.block + number(&in, 2);
	uint64_t end = s.packet;
	unsigned int usual = 1 + (number(&in, 2) >> number(&in, 1) % 16);
	for (unsigned int many = 1 + number(&in, 1) % 24; many && length < ROOM; many--) {
		unsigned int n = number(&in, 1);
		n = n < 192 ? usual : n == 192 ? number(&in, 2) : n - 192;
		length += put_packet(wire + length, s.block, end - s.block, n, s.chunk);
		end += n;
	}
	if (length < ROOM)
		length += put_packet(wire + length, s.block, end - s.block, 0, s.chunk); /* there is always one more */
	else
		length = ROOM;
	s.at = s.packet + number(&in, 2) % (end - s.packet + 1);
	s.size = s.end = s.at + (end - s.at) * (8 - number(&in, 1) % 9) / 8 + number(&in, 1) % 4;
	for (unsigned int n = number(&in, 1) % 4; n; n--) {
		size_t where = number(&in, 3) % length;
		unsigned char change = (unsigned char)number(&in, 1);
		wire[where] ^= change;
		intact = intact && !change;
	}
	s.ahead_end = number(&in, 2) % (length + 1);
	s.ahead = malloc(s.ahead_end + 1);
	s.memory = malloc(SUMS + PACKET);
	memcpy(s.ahead, wire, s.ahead_end);
	if (write(fds[1], wire + s.ahead_end, length - s.ahead_end) < 0)
		abort();
	close(fds[1]);

	for (uint64_t at = s.at; s.at < s.end;) {
		size_t got = 0, left = s.end - s.at, n = in.at < in.end ? 1 + (number(&in, 2) << number(&in, 1) % 4) : left;
		char *buffer = malloc(n);
		int broken = stream_read(&s, n, buffer, &got);
		if (got > n || s.at > s.end || (!broken && !got))
			abort();
		for (size_t i = 0; i < got && (intact || s.chunk); i++)
			if ((unsigned char)buffer[i] != content(at + i))
				abort();
		free(buffer);
		if (broken)
			break;
		at = s.at;
		if (number(&in, 1) > 200) {
			at += number(&in, 2);
			if (!skip_to(&s, at))
				break;
		}
	}
	hang_up(&s);
	return 0;
}
