// SPDX-License-Identifier: GPL-2.0-or-later
/* Builds small kernels field by field, from the specifications that the loaders follow. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "boot_image.h"

#include <asm/bootparam.h>
#include <dirent.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void image_put(struct image *i, size_t at, uint64_t value, unsigned bytes)
{
	assert_true(at + bytes <= IMAGE_MAX);
	memcpy(i->data + at, &value, bytes);
}

uint64_t image_get(const struct image *i, size_t at, unsigned bytes)
{
	uint64_t value = 0;

	memcpy(&value, i->data + at, bytes);
	return value;
}

static size_t put_note(struct image *i, size_t at, const char *name, uint32_t type,
		       const void *desc, uint32_t descsz)
{
	uint32_t namesz = (uint32_t)strlen(name) + 1;

	image_put(i, at, namesz, 4);
	image_put(i, at + 4, descsz, 4);
	image_put(i, at + 8, type, 4);
	memcpy(i->data + at + 12, name, namesz);
	at += 12 + ((namesz + 3) & ~3u);
	memcpy(i->data + at, desc, descsz);
	return at + ((descsz + 3) & ~3u);
}

/* Returns the size of the notes. The PVH note comes first, so that tests can find it. */
static size_t put_content(struct image *i, enum elf_flavour f)
{
	size_t at = ELF_NOTE_AT, k;
	uint64_t entry = ELF_TEXT_PADDR + 0x40;

	memset(i, 0, sizeof(*i));
	i->size = ELF_SIZE;
	for (k = 0; k < ELF_TEXT_SIZE; k++)
		i->data[ELF_TEXT_AT + k] = (uint8_t)(k * 7 + 1);
	for (k = 0; k < ELF_DATA_SIZE; k++)
		i->data[ELF_DATA_AT + k] = (uint8_t)(k * 5 + 3);
	if (f == ELF_PVH_NOTE)
		at = put_note(i, at, "Xen", 18, &entry, 8);
	if (f == ELF_LINUX)
		at = put_note(i, at, "Linux", 0x100, "\1\0\0", 4);
	return at - ELF_NOTE_AT;
}

size_t elf64_header(unsigned n)
{
	return sizeof(Elf64_Ehdr) + n * sizeof(Elf64_Phdr);
}

void image_elf64(struct image *i, enum elf_flavour f)
{
	uint64_t notes = put_content(i, f);
	const Elf64_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, 1},
			      .e_type = ET_EXEC,
			      .e_machine = EM_X86_64,
			      .e_version = 1,
			      .e_entry = ELF_TEXT_PADDR + 0x10,
			      .e_phoff = sizeof(h),
			      .e_ehsize = sizeof(h),
			      .e_phentsize = sizeof(Elf64_Phdr),
			      .e_phnum = 3};
	const Elf64_Phdr p[3] = {
	    {PT_LOAD, PF_R | PF_X, ELF_TEXT_AT, 0, ELF_TEXT_PADDR, ELF_TEXT_SIZE, ELF_TEXT_SIZE, 0},
	    {PT_LOAD, PF_R | PF_W, ELF_DATA_AT, 0, ELF_DATA_PADDR, ELF_DATA_SIZE, ELF_DATA_MEMSZ,
	     0},
	    {PT_NOTE, PF_R, ELF_NOTE_AT, 0, 0, notes, notes, 4},
	};

	memcpy(i->data, &h, sizeof(h));
	memcpy(i->data + sizeof(h), p, sizeof(p));
}

void image_elf32(struct image *i, enum elf_flavour f)
{
	uint32_t notes = (uint32_t)put_content(i, f);
	const Elf32_Ehdr h = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB, 1},
			      .e_type = ET_EXEC,
			      .e_machine = EM_386,
			      .e_version = 1,
			      .e_entry = ELF_TEXT_PADDR + 0x10,
			      .e_phoff = sizeof(h),
			      .e_ehsize = sizeof(h),
			      .e_phentsize = sizeof(Elf32_Phdr),
			      .e_phnum = 3};
	const Elf32_Phdr p[3] = {
	    {PT_LOAD, ELF_TEXT_AT, 0, ELF_TEXT_PADDR, ELF_TEXT_SIZE, ELF_TEXT_SIZE, PF_R | PF_X, 0},
	    {PT_LOAD, ELF_DATA_AT, 0, ELF_DATA_PADDR, ELF_DATA_SIZE, ELF_DATA_MEMSZ, PF_R | PF_W,
	     0},
	    {PT_NOTE, ELF_NOTE_AT, 0, 0, notes, notes, PF_R, 4},
	};

	memcpy(i->data, &h, sizeof(h));
	memcpy(i->data + sizeof(h), p, sizeof(p));
}

size_t image_lz4_store(uint8_t *dst, const uint8_t *src, size_t n)
{
	size_t left = n - 15, at = 8;
	uint32_t magic = 0x184c2102, size;

	assert_true(n >= 15);
	dst[at++] = 0xf0; /* literals only: 15 and what the next bytes add */
	for (; left >= 255; left -= 255)
		dst[at++] = 255;
	dst[at++] = (uint8_t)left;
	memcpy(dst + at, src, n);
	at += n;
	size = (uint32_t)(at - 8);
	memcpy(dst, &magic, 4);
	memcpy(dst + 4, &size, 4);
	return at;
}

void image_bz(struct image *i, const struct image *elf)
{
	const size_t code = BZ_SETUP_BYTES, payload = code + BZ_PAYLOAD_AT;
	struct setup_header h = {.setup_sects = 4,
				 .boot_flag = 0xaa55,
				 .jump = 0x6aeb,
				 .version = 0x20f,
				 .kernel_version = 0x200,
				 .loadflags = LOADED_HIGH,
				 .code32_start = 0x100000,
				 .initrd_addr_max = 0x7fffffff,
				 .kernel_alignment = 0x200000,
				 .relocatable_kernel = 1,
				 .min_alignment = 21,
				 .xloadflags = 0x7f,
				 .cmdline_size = BZ_CMDLINE_SIZE,
				 .payload_offset = BZ_PAYLOAD_AT,
				 .pref_address = ELF_TEXT_PADDR,
				 .init_size = BZ_INIT_SIZE,
				 .handover_offset = 0x100};
	size_t n;

	memset(i, 0, sizeof(*i));
	memcpy(&h.header, "HdrS", 4);
	n = image_lz4_store(i->data + payload, elf->data, elf->size);
	image_put(i, payload + n, elf->size, 4);
	h.payload_length = (uint32_t)n + 4;
	i->size = (payload + n + 4 + 15) & ~(size_t)15;
	h.syssize = (uint32_t)((i->size - code) / 16);
	memcpy(i->data + 0x1f1, &h, sizeof(h));
	strcpy((char *)i->data + 0x400, BZ_VERSION);
}

void image_multiboot(struct image *i)
{
	const uint32_t flags = 0x10003;
	const uint32_t h[8] = {0x1badb002,
			       flags,
			       0 - 0x1badb002 - flags,
			       0x200000 + MB_HEADER_AT,
			       0x200000,
			       0x201000,
			       0x203000,
			       0x200100};
	size_t k;

	memset(i, 0, sizeof(*i));
	i->size = 0x1000;
	for (k = 0x100; k < i->size; k++)
		i->data[k] = (uint8_t)(k * 3 + 1);
	memcpy(i->data + MB_HEADER_AT, h, sizeof(h));
}

static void tree_token(struct tree *t, uint32_t token)
{
	const uint8_t be[4] = {(uint8_t)(token >> 24), (uint8_t)(token >> 16),
			       (uint8_t)(token >> 8), (uint8_t)token};

	assert_true(t->structure_size + 4 <= sizeof(t->structure));
	memcpy(t->structure + t->structure_size, be, 4);
	t->structure_size += 4;
}

static void tree_bytes(struct tree *t, const void *p, size_t n)
{
	assert_true(t->structure_size + n + 3 <= sizeof(t->structure));
	memcpy(t->structure + t->structure_size, p, n);
	t->structure_size = (t->structure_size + n + 3) & ~(size_t)3;
}

void tree_open(struct tree *t, const char *name)
{
	tree_token(t, 1);
	tree_bytes(t, name, strlen(name) + 1);
}

void tree_close(struct tree *t)
{
	tree_token(t, 2);
}

void tree_put(struct tree *t, const char *name, const void *value, size_t n)
{
	tree_token(t, 3);
	tree_token(t, (uint32_t)n);
	tree_token(t, (uint32_t)t->strings_size);
	tree_bytes(t, value, n);
	assert_true(t->strings_size + strlen(name) < sizeof(t->strings));
	strcpy(t->strings + t->strings_size, name);
	t->strings_size += strlen(name) + 1;
}

void tree_put_string(struct tree *t, const char *name, const char *value)
{
	tree_put(t, name, value, strlen(value) + 1);
}

void tree_put_u32(struct tree *t, const char *name, uint32_t value)
{
	const uint8_t be[4] = {(uint8_t)(value >> 24), (uint8_t)(value >> 16),
			       (uint8_t)(value >> 8), (uint8_t)value};

	tree_put(t, name, be, 4);
}

/* Header, an empty reservation map, the structure, the strings. */
void tree_finish(struct tree *t, struct image *out)
{
	struct tree header = {.structure_size = 0};
	uint32_t total, fields[10];
	unsigned i;

	tree_token(t, 9);
	total = (uint32_t)(56 + t->structure_size + t->strings_size + 3) & ~3u;
	fields[0] = 0xd00dfeed;
	fields[1] = total;
	fields[2] = 56;
	fields[3] = (uint32_t)(56 + t->structure_size);
	fields[4] = 40;
	fields[5] = 17;
	fields[6] = 16;
	fields[7] = 0;
	fields[8] = (uint32_t)t->strings_size;
	fields[9] = (uint32_t)t->structure_size;
	for (i = 0; i < 10; i++)
		tree_token(&header, fields[i]);
	assert_true(total <= IMAGE_MAX);
	memset(out, 0, sizeof(*out));
	memcpy(out->data, header.structure, 40);
	memcpy(out->data + 56, t->structure, t->structure_size);
	memcpy(out->data + 56 + t->structure_size, t->strings, t->strings_size);
	out->size = total;
}

void fixture_open(struct boot_fixture *f, uint64_t ram_bytes)
{
	memset(f, 0, sizeof(*f));
	assert_int_equal(gmem_create(ram_bytes, &f->mem), 0);
	assert_int_equal(gmem_place(f->mem, 0, 0, ram_bytes), 0);
	assert_int_equal(e820_add(&f->map, 0, 0x9fc00, E820_RAM), 0);
	assert_int_equal(e820_add(&f->map, 0xe0000, 0x20000, E820_RESERVED), 0);
	assert_int_equal(e820_add(&f->map, 0x100000, ram_bytes - 0x100000, E820_RAM), 0);
	f->req = (struct boot_request){.kernel_path = "vmlinuz",
				       .kernel_fd = -1,
				       .initrd_paths = f->initrd_path,
				       .initrd_fds = f->initrd_fd,
				       .append = "",
				       .map = &f->map,
				       .rsdp = 0xe0000};
}

void fixture_close(struct boot_fixture *f)
{
	unsigned i;

	for (i = 0; i < f->req.initrd_count; i++)
		close(f->initrd_fd[i]);
	if (f->req.kernel_fd >= 0)
		close(f->req.kernel_fd);
	boot_finish();
	gmem_destroy(f->mem);
}

int fixture_file(const void *data, size_t n)
{
	int fd = memfd_create("image", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, n), (ssize_t)n);
	return fd;
}

void fixture_kernel(struct boot_fixture *f, const void *data, size_t n)
{
	if (f->req.kernel_fd >= 0)
		close(f->req.kernel_fd);
	f->req.kernel_fd = fixture_file(data, n);
}

void fixture_initrd(struct boot_fixture *f, const void *data, size_t n)
{
	f->initrd_path[f->req.initrd_count] = "initrd.img";
	f->initrd_fd[f->req.initrd_count++] = fixture_file(data, n);
}

int fixture_load(struct boot_fixture *f)
{
	memset(&f->why, 0, sizeof(f->why));
	return boot_load(&f->req, f->mem, &f->entry, &f->info, &f->why);
}

bool fixture_ram_is_elf(struct boot_fixture *f, const struct image *elf, uint64_t skip,
			uint64_t skip_size)
{
	const uint8_t *ram = gmem_pointer(f->mem, 0, gmem_size(f->mem));
	uint64_t at;

	for (at = 0x100000; at < gmem_size(f->mem); at++) {
		uint8_t want = 0;

		/* Most pages are zero and of no interest. */
		if (at % 4096 == 0 && at >> 12 != skip >> 12 && ram[at] == 0 &&
		    memcmp(ram + at, ram + at + 1, 4095) == 0 &&
		    (at < ELF_TEXT_PADDR || at >= ELF_END_PADDR)) {
			at += 4095;
			continue;
		}

		if (at >= skip && at - skip < skip_size)
			continue;
		if (at >= ELF_TEXT_PADDR && at < ELF_TEXT_PADDR + ELF_TEXT_SIZE)
			want = elf->data[at - ELF_TEXT_PADDR + ELF_TEXT_AT];
		if (at >= ELF_DATA_PADDR && at < ELF_DATA_PADDR + ELF_DATA_SIZE)
			want = elf->data[at - ELF_DATA_PADDR + ELF_DATA_AT];
		if (ram[at] != want) {
			print_error("RAM at %#llx is %#x, not %#x\n", (unsigned long long)at,
				    ram[at], want);
			return false;
		}
	}
	return true;
}

unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

void assert_refused(const void *data, size_t n, int status, const char *field, const char *name)
{
	unsigned fds = count_fds();
	struct boot_fixture f;
	char wanted[128];
	int rc;

	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, data, n);
	rc = fixture_load(&f);
	snprintf(wanted, sizeof(wanted), ": %s: ", field);
	if (rc != -1 || f.why.status != status || !strstr(f.why.text, wanted))
		fail_msg("%s: wanted %d naming %s, got rc %d, %d: %s", name, status, field, rc,
			 f.why.status, f.why.text);
	assert_null(strchr(f.why.text, '\n'));
	fixture_close(&f);
	assert_int_equal(count_fds(), fds);
}

void assert_boots(const void *data, size_t n, const char *kind, const char *name)
{
	unsigned fds = count_fds();
	struct boot_fixture f;

	fixture_open(&f, FIXTURE_RAM);
	fixture_kernel(&f, data, n);
	if (fixture_load(&f) != 0)
		fail_msg("%s: refused with %d: %s", name, f.why.status, f.why.text);
	if (strcmp(f.info.kind, kind) != 0)
		fail_msg("%s: a %s, not a %s", name, f.info.kind, kind);
	fixture_close(&f);
	assert_int_equal(count_fds(), fds);
}

void assert_fields(const struct field_case *c, unsigned n, const struct image *good,
		   const char *kind)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		struct image x = *good;

		image_put(&x, c[i].at, c[i].value, c[i].bytes);
		if (c[i].field)
			assert_refused(x.data, x.size, STATUS_DATA, c[i].field, c[i].name);
		else
			assert_boots(x.data, x.size, kind, c[i].name);
	}
}
