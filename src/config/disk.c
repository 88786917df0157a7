// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reads the value of --disk.
 *
 * A file's format is what format= says, else what its suffix says (.qcow2, anything else is raw).
 * Backing files go by their suffix alone; backing= may repeat, nearest first.
 */
#include "config/disk.h"
#include "config/words.h"

#include <errno.h>
#include <string.h>

static const struct word formats[] = {
    {"raw", BLOCK_FORMAT_RAW}, {"qcow2", BLOCK_FORMAT_QCOW2}, {NULL, 0}};
static const struct word buses[] = {{"virtio", DISK_BUS_VIRTIO},
				    {"ide", DISK_BUS_IDE},
				    {"ahci", DISK_BUS_AHCI},
				    {"nvme", DISK_BUS_NVME},
				    {NULL, 0}};
static const struct word caches[] = {{"writeback", BLOCK_CACHE_WRITEBACK},
				     {"none", BLOCK_CACHE_NONE},
				     {"writethrough", BLOCK_CACHE_WRITETHROUGH},
				     {"directsync", BLOCK_CACHE_DIRECTSYNC},
				     {"unsafe", BLOCK_CACHE_UNSAFE},
				     {NULL, 0}};
static const struct word engines[] = {{"auto", BLOCK_AIO_AUTO},
				      {"io_uring", BLOCK_AIO_IO_URING},
				      {"libaio", BLOCK_AIO_LIBAIO},
				      {"threads", BLOCK_AIO_THREADS},
				      {NULL, 0}};

static int refuse_disk(struct refusal *why, const char *given, const char *wanted)
{
	return refuse(why, STATUS_USAGE, NULL, NULL, "--disk: '%.60s' is not valid; %s", given,
		      wanted);
}

static enum block_format format_of(const char *path)
{
	const char *suffix = strrchr(path, '.');

	return suffix && strcmp(suffix, ".qcow2") == 0 ? BLOCK_FORMAT_QCOW2 : BLOCK_FORMAT_RAW;
}

static int add_backing(struct block_params *p, const char *path, struct refusal *why)
{
	if (!*path)
		return refuse_disk(why, "backing=", "give a file");
	if (p->backing_count == BLOCK_BACKING_MAX)
		return refuse_disk(why, path, "at most 8 backing files can be given");
	p->backing[p->backing_count++] =
	    (struct block_image){.path = path, .format = format_of(path)};
	return 0;
}

static int set_serial(struct config_disk *d, const char *text, struct refusal *why)
{
	size_t n = strlen(text);

	for (size_t i = 0; i < n; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return refuse_disk(why, "serial", "give printable ASCII characters");
	}
	if (n == 0 || n > DISK_SERIAL_MAX)
		return refuse_disk(why, text, "a serial number has 1 to 20 characters");
	memcpy(d->serial, text, n + 1);
	return 0;
}

static int refuse_key(struct refusal *why, const char *key)
{
	return refuse_disk(
	    why, key,
	    "the keys are format= backing= bus= ro ephemeral cache= aio= serial= packed=");
}

static int set_flag(struct config_disk *d, const char *key, struct refusal *why)
{
	if (strcmp(key, "ro") == 0)
		d->params.read_only = true;
	else if (strcmp(key, "ephemeral") == 0)
		d->params.ephemeral = true;
	else
		return refuse_key(why, key);
	return 0;
}

static int set_key(struct config_disk *d, const char *key, const char *value, struct refusal *why)
{
	static const struct {
		const char *key, *wanted;
		const struct word *words;
	} choices[] = {
	    {"format", "format is raw or qcow2", formats},
	    {"bus", "bus is virtio, ide, ahci or nvme", buses},
	    {"cache", "cache is writeback, none, writethrough, directsync or unsafe", caches},
	    {"packed", "packed is on or off", words_on_off},
	    {"aio", "aio is auto, io_uring, libaio or threads", engines},
	};
	struct block_params *p = &d->params;
	int found;

	if (strcmp(key, "backing") == 0)
		return add_backing(p, value, why);
	if (strcmp(key, "serial") == 0)
		return set_serial(d, value, why);
	for (unsigned i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		if (strcmp(key, choices[i].key) != 0)
			continue;
		found = words_find(choices[i].words, value);
		if (found < 0)
			return refuse_disk(why, value, choices[i].wanted);
		if (choices[i].words == formats) {
			p->image.format = (enum block_format)found;
			p->image.format_stated = true;
		} else if (choices[i].words == buses) {
			d->bus = (enum disk_bus)found;
		} else if (choices[i].words == caches) {
			p->cache = (enum block_cache)found;
		} else if (choices[i].words == words_on_off) {
			d->packed = found;
		} else {
			p->aio = (enum block_aio)found;
		}
		return 0;
	}
	return refuse_key(why, key);
}

static int check(const struct config_disk *d, struct refusal *why)
{
	const struct block_params *p = &d->params;
	bool direct = p->cache == BLOCK_CACHE_NONE || p->cache == BLOCK_CACHE_DIRECTSYNC;

	if (p->aio == BLOCK_AIO_LIBAIO && !direct)
		return refuse_disk(why, "aio=libaio", "it needs cache=none or cache=directsync");
	if (p->ephemeral && p->read_only)
		return refuse_disk(why, "ro,ephemeral", "give one of both");
	if (p->backing_count && p->image.format == BLOCK_FORMAT_RAW)
		return refuse_disk(why, "backing=", "a raw image rests on no other");
	return 0;
}

static int parse(char *rest, const char *text, struct config_disk *d, struct refusal *why)
{
	char *item, *value;

	d->params.image.path = words_next(&rest);
	if (!*d->params.image.path)
		return refuse_disk(why, text, "give FILE[,KEY=VALUE...]");
	d->params.image.format = format_of(d->params.image.path);
	while (rest) {
		item = words_next(&rest);
		value = strchr(item, '=');
		if (value)
			*value++ = '\0';
		if (value ? set_key(d, item, value, why) : set_flag(d, item, why))
			return -1;
	}
	return check(d, why);
}

int config_parse_disk(const char *text, struct config_disk *d, struct refusal *why)
{
	char *kept = config_keep_text(text);

	*d = (struct config_disk){.params.on_enospc = BLOCK_PAUSE, .spec = text};
	if (!kept)
		return refuse_errno(why, ENOMEM, NULL, NULL, "--disk");
	return parse(kept, text, d, why);
}
