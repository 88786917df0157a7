// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Opens a disk: its engine, the images that it rests on from the farthest to the nearest, the image
 * itself, and over it the temporary file of an ephemeral one. Only the image itself is opened for
 * writing, and nothing is opened that the operator did not name.
 */
#include "block/driver.h"

static bool is_direct(enum block_cache cache)
{
	return cache == BLOCK_CACHE_NONE || cache == BLOCK_CACHE_DIRECTSYNC;
}

static int open_image(const struct block_image *image, struct image_params *p, struct block **out,
		      struct refusal *why)
{
	p->path = image->path;
	p->format_stated = image->format_stated;
	if (image->format == BLOCK_FORMAT_QCOW2)
		return qcow2_open(p, out, why);
	if (p->backing)
		return refuse(why, STATUS_USAGE, "--disk", "backing",
			      "%s is raw and rests on no other image", image->path);
	return raw_open(p, out, why);
}

/* The chain, nearest image last. *out is what is open so far, also on failure. */
static int open_chain(const struct block_params *p, struct image_params *i, struct block **out,
		      struct refusal *why)
{
	if (p->backing_count > BLOCK_BACKING_MAX)
		return refuse(why, STATUS_USAGE, "--disk", "backing", "at most %u are possible",
			      BLOCK_BACKING_MAX);
	i->cache = p->cache;
	for (unsigned n = p->backing_count; n-- > 0;) {
		i->backing = *out;
		if (open_image(&p->backing[n], i, out, why))
			return -1;
	}
	i->writable = !p->read_only && !p->ephemeral;
	i->backing = *out;
	return open_image(&p->image, i, out, why);
}

int block_open_with(const struct block_params *p, struct loop *l, struct engine *e,
		    struct block **out, struct refusal *why)
{
	struct image_params i = {
	    .depth = p->depth ? p->depth : BLOCK_DEPTH_DEFAULT, .loop = l, .engine = e};
	struct block *b = NULL;

	if (open_chain(p, &i, &b, why) || (p->ephemeral && overlay_open(b, i.depth, &b, why))) {
		block_close(b);
		return -1;
	}
	b->on_enospc = p->on_enospc;
	b->on_eio = p->on_eio;
	b->write_through =
	    p->cache == BLOCK_CACHE_WRITETHROUGH || p->cache == BLOCK_CACHE_DIRECTSYNC;
	b->geometry.logical_size = BLOCK_SECTOR;
	b->geometry.read_only = p->read_only;
	b->geometry.write_cache = !b->write_through;
	b->geometry.can_discard = b->geometry.can_discard && !p->read_only;
	*out = b;
	return 0;
}

int block_open(const struct block_params *p, struct loop *l, struct block **out,
	       struct refusal *why)
{
	unsigned depth = p->depth ? p->depth : BLOCK_DEPTH_DEFAULT;
	struct engine *e;

	if (engine_open(p->aio, is_direct(p->cache), depth, l, &e, why))
		return -1;
	if (block_open_with(p, l, e, out, why)) {
		engine_destroy(e);
		return -1;
	}
	(*out)->owns_engine = true;
	return 0;
}
