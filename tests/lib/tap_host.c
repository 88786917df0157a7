/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tap_host.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <cmocka.h>

int tap_queue(const char *name, unsigned flags)
{
	struct ifreq r = {.ifr_flags = (short)flags};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	if (fd >= 0 && ioctl(fd, TUNSETIFF, &r)) {
		close(fd);
		return -1;
	}
	return fd;
}

int tap_index(const char *name)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), ret;

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	ret = ioctl(fd, SIOCGIFINDEX, &r);
	close(fd);
	return ret ? 0 : r.ifr_ifindex;
}

/* Down first: a tap that got its cable while it was up only works once the kernel's delay is over.
 */
void tap_bring_up(const char *name)
{
	struct ifreq r = {0};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	r.ifr_flags = IFF_UP;
	assert_int_equal(ioctl(fd, SIOCSIFFLAGS, &r), 0);
	close(fd);
}

void tap_make(const char *name, unsigned flags)
{
	int fd = tap_queue(name, flags);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	tap_bring_up(name);
}

void tap_remove(const char *name)
{
	struct {
		struct nlmsghdr h;
		struct ifinfomsg i;
	} m = {.h = {.nlmsg_len = sizeof(m),
		     .nlmsg_type = RTM_DELLINK,
		     .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
	       .i.ifi_index = tap_index(name)};
	char answer[256];
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);

	if (m.i.ifi_index) {
		assert_int_equal(send(fd, &m, sizeof(m), 0), sizeof(m));
		assert_true(recv(fd, answer, sizeof(answer), 0) > 0);
	}
	close(fd);
}

int tap_packet_socket(const char *name)
{
	struct sockaddr_ll a = {.sll_family = AF_PACKET,
				.sll_protocol = htons(TAP_EXPERIMENT),
				.sll_ifindex = tap_index(name)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(TAP_EXPERIMENT));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

static void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return;
	n = write(fd, text, strlen(text));
	(void)n;
	close(fd);
}

const char *tap_enter_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) && unshare(CLONE_NEWUSER | CLONE_NEWNET))
		return "this user cannot have a network namespace";
	write_text("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
	fd = tap_queue("lodge-try", TAP_KIND);
	if (fd < 0)
		return "/dev/net/tun cannot be used here";
	close(fd);
	return NULL;
}
