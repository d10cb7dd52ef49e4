# Copyright (c) 2026, checkpoint_restore.kubernetes contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fields of CRIU's images: one table, message by message, each field as "number name type".

Types: u32 u64 i32 i64 (varints), z32 z64 (zigzag varints), bool, f64 f32 (fixed), str, bytes, or the name of another
message; a star marks a repeated field; "any" takes numbers and bytes. Enumerations are u32. Strings may hold any bytes.

Source: criu images/*.proto, 4.2.1, checked against the descriptors of Debian's python3-pycriu 4.2.1. The field
``compress`` of inventory_entry and fields 6 to 8 of pagemap_entry are those of CRIU's development branch
(pull request 2895); field 6 had two shapes there and is taken apart in pages.py.

Private to this collection: no promise of compatibility to anybody else.
"""

from __future__ import annotations

from .fields_cpu import CPU_MESSAGES

MESSAGES: dict[str, str] = {
    **CPU_MESSAGES,
    "aa_policy": "1 name str; 2 blob bytes",
    "aa_namespace": "1 name str; 2 policies aa_policy*; 3 namespaces aa_namespace*",
    "apparmor_entry": "1 namespaces aa_namespace*",
    "autofs_entry": (
        "1 fd i32; 2 pgrp i32; 3 timeout i32; 4 minproto i32; 5 maxproto i32; 6 mode i32; 7 uid i32; 8 gid i32; "
        "9 read_fd i32"
    ),
    "binfmt_misc_entry": (
        "1 name str; 2 enabled bool; 3 interpreter str; 4 flags str; 5 extension str; 6 magic str; 7 mask str; "
        "8 offset i32"
    ),
    "bpfmap_data_entry": "1 map_id u32; 2 keys_bytes u32; 3 values_bytes u32; 4 count u32",
    "bpfmap_file_entry": (
        "1 id u32; 2 flags u32; 3 pos u64; 4 fown fown_entry; 5 map_type u32; 6 key_size u32; 7 value_size u32; "
        "8 map_id u32; 9 max_entries u32; 10 map_flags u32; 11 memlock u64; 12 frozen bool; 13 map_name str; "
        "14 ifindex u32; 15 mnt_id z32; 16 map_extra u64"
    ),
    "cgroup_perms": "1 mode u32; 2 uid u32; 3 gid u32",
    "cgroup_prop_entry": "1 name str; 2 value str; 3 perms cgroup_perms",
    "cgroup_dir_entry": (
        "1 dir_name str; 2 children cgroup_dir_entry*; 3 properties cgroup_prop_entry*; 4 dir_perms cgroup_perms"
    ),
    "cg_controller_entry": "1 cnames str*; 2 dirs cgroup_dir_entry*; 3 is_threaded bool",
    "cg_member_entry": "1 name str; 2 path str; 3 cgns_prefix u32",
    "cg_set_entry": "1 id u32; 2 ctls cg_member_entry*",
    "cgroup_entry": "1 sets cg_set_entry*; 2 controllers cg_controller_entry*",
    "task_core_entry": (
        "1 task_state u32; 2 exit_code u32; 3 personality u32; 4 flags u32; 5 blk_sigset u64; 6 comm str; "
        "7 timers task_timers_entry; 8 rlimits task_rlimits_entry; 9 cg_set u32; 10 signals_s signal_queue_entry; "
        "11 old_seccomp_mode u32; 12 old_seccomp_filter u32; 13 loginuid u32; 14 oom_score_adj i32; "
        "15 sigactions sa_entry*; 18 child_subreaper bool; 20 blk_sigset_extended u64; 21 stop_signo u32; "
        "22 membarrier_registration_mask u32"
    ),
    "task_kobj_ids_entry": (
        "1 vm_id u32; 2 files_id u32; 3 fs_id u32; 4 sighand_id u32; 5 pid_ns_id u32; 6 net_ns_id u32; "
        "7 ipc_ns_id u32; 8 uts_ns_id u32; 9 mnt_ns_id u32; 10 user_ns_id u32; 11 cgroup_ns_id u32; "
        "12 time_ns_id u32"
    ),
    "thread_sas_entry": "1 ss_sp u64; 2 ss_size u64; 3 ss_flags u32",
    "thread_core_entry": (
        "1 futex_rla u64; 2 futex_rla_len u32; 3 sched_nice z32; 4 sched_policy u32; 5 sched_prio u32; "
        "6 blk_sigset u64; 7 sas thread_sas_entry; 8 pdeath_sig u32; 9 signals_p signal_queue_entry; "
        "10 creds creds_entry; 11 seccomp_mode u32; 12 seccomp_filter u32; 13 comm str; 14 blk_sigset_extended u64; "
        "15 rseq_entry rseq_entry; 16 cg_set u32"
    ),
    "task_rlimits_entry": "1 rlimits rlimit_entry*",
    "core_entry": (
        "1 mtype u32; 2 thread_info thread_info_x86; 3 tc task_core_entry; 4 ids task_kobj_ids_entry; "
        "5 thread_core thread_core_entry; 6 ti_arm thread_info_arm; 8 ti_aarch64 thread_info_aarch64; "
        "9 ti_ppc64 thread_info_ppc64; 10 ti_s390 thread_info_s390; 11 ti_mips thread_info_mips; "
        "12 ti_loongarch64 thread_info_loongarch64; 13 ti_riscv64 thread_info_riscv64"
    ),
    "cpuinfo_x86_entry": (
        "1 vendor_id u32; 2 cpu_family u32; 3 model u32; 4 stepping u32; 5 capability_ver u32; 6 capability u32*; "
        "7 model_id str; 8 xfeatures_mask u64; 9 xsave_size u32; 10 xsave_size_max u32"
    ),
    "cpuinfo_ppc64_entry": "1 endian u32; 2 hwcap u64*",
    "cpuinfo_s390_entry": "2 hwcap u64*",
    "cpuinfo_entry": (
        "1 x86_entry cpuinfo_x86_entry*; 2 ppc64_entry cpuinfo_ppc64_entry*; 3 s390_entry cpuinfo_s390_entry*"
    ),
    "creds_entry": (
        "1 uid u32; 2 gid u32; 3 euid u32; 4 egid u32; 5 suid u32; 6 sgid u32; 7 fsuid u32; 8 fsgid u32; "
        "9 cap_inh u32*; 10 cap_prm u32*; 11 cap_eff u32*; 12 cap_bnd u32*; 13 secbits u32; 14 groups u32*; "
        "15 lsm_profile str; 16 lsm_sockcreate str; 17 apparmor_data bytes; 18 no_new_privs u32; 19 cap_amb u32*"
    ),
    "eventfd_file_entry": "1 id u32; 2 flags u32; 3 fown fown_entry; 4 counter u64",
    "eventpoll_tfd_entry": "1 id u32; 2 tfd u32; 3 events u32; 4 data u64; 5 dev u32; 6 inode u64; 7 pos u64",
    "eventpoll_file_entry": "1 id u32; 2 flags u32; 3 fown fown_entry; 4 tfd eventpoll_tfd_entry*",
    "ext_file_entry": "1 id u32; 5 fown fown_entry",
    "fdinfo_entry": "1 id u32; 2 flags u32; 3 type u32; 4 fd u32; 5 xattr_security_selinux str",
    "file_entry": (
        "1 type u32; 2 id u32; 3 reg reg_file_entry; 4 isk inet_sk_entry; 5 nsf ns_file_entry; "
        "6 psk packet_sock_entry; 7 nlsk netlink_sk_entry; 8 efd eventfd_file_entry; 9 epfd eventpoll_file_entry; "
        "10 sgfd signalfd_entry; 11 tunf tunfile_entry; 12 tfd timerfd_entry; 13 ify inotify_file_entry; "
        "14 ffy fanotify_file_entry; 15 ext ext_file_entry; 16 usk unix_sk_entry; 17 fifo fifo_entry; "
        "18 pipe pipe_entry; 19 tty tty_file_entry; 20 memfd memfd_file_entry; 21 bpf bpfmap_file_entry; "
        "22 pidfd pidfd_entry"
    ),
    "fh_entry": "1 bytes u32; 2 type u32; 3 handle u64*; 4 path str; 5 mnt_id u32",
    "irmap_cache_entry": "1 dev u32; 2 inode u64; 3 path str",
    "fifo_entry": "1 id u32; 2 pipe_id u32; 3 regf_id u32",
    "file_lock_entry": "1 flag u32; 2 type u32; 3 pid i32; 4 fd i32; 5 start i64; 6 len i64",
    "fown_entry": "1 uid u32; 2 euid u32; 3 signum u32; 4 pid_type u32; 5 pid u32",
    "fs_entry": "1 cwd_id u32; 2 root_id u32; 3 umask u32",
    "inotify_wd_entry": (
        "1 id u32; 2 i_ino u64; 3 mask u32; 4 ignored_mask u32; 5 s_dev u32; 6 wd u32; 7 f_handle fh_entry"
    ),
    "inotify_file_entry": "1 id u32; 2 flags u32; 4 fown fown_entry; 5 wd inotify_wd_entry*",
    "fanotify_inode_mark_entry": "1 i_ino u64; 2 f_handle fh_entry",
    "fanotify_mount_mark_entry": "1 mnt_id u32; 2 path str",
    "fanotify_mark_entry": (
        "1 id u32; 2 type u32; 3 mflags u32; 4 mask u32; 5 ignored_mask u32; 6 s_dev u32; "
        "7 ie fanotify_inode_mark_entry; 8 me fanotify_mount_mark_entry"
    ),
    "fanotify_file_entry": (
        "1 id u32; 2 flags u32; 3 fown fown_entry; 4 faflags u32; 5 evflags u32; 6 mark fanotify_mark_entry*"
    ),
    "ghost_file_entry": (
        "1 uid u32; 2 gid u32; 3 mode u32; 4 dev u32; 5 ino u64; 6 rdev u32; 7 atim timeval; 8 mtim timeval; "
        "9 chunks bool; 10 size u64; 11 symlnk_target str"
    ),
    "ghost_chunk_entry": "1 len u64; 2 off u64",
    "plugins_entry": "12 plugins str*",
    "inventory_entry": (
        "1 img_version u32; 2 fdinfo_per_id bool; 3 root_ids task_kobj_ids_entry; 4 ns_per_id bool; "
        "5 root_cg_set u32; 6 lsmtype u32; 8 dump_uptime u64; 9 pre_dump_mode u32; 10 tcp_close bool; "
        "11 network_lock_method u32; 12 plugins_entry plugins_entry; 13 dump_criu_run_id str; 14 allow_uprobes bool; "
        "15 compress u32"
    ),
    "ipc_desc_entry": "1 key u32; 2 uid u32; 3 gid u32; 4 cuid u32; 5 cgid u32; 6 mode u32; 7 id u32",
    "ipc_msg": "1 mtype u64; 2 msize u32",
    "ipc_msg_entry": "1 desc ipc_desc_entry; 2 qbytes u32; 3 qnum u32",
    "ipc_sem_entry": "1 desc ipc_desc_entry; 2 nsems u32",
    "ipc_shm_entry": "1 desc ipc_desc_entry; 2 size u64; 3 in_pagemaps bool; 4 hugetlb_flag u32",
    "ipc_var_entry": (
        "1 sem_ctls u32*; 2 msg_ctlmax u32; 3 msg_ctlmnb u32; 4 msg_ctlmni u32; 5 auto_msgmni u32; 6 shm_ctlmax u64; "
        "7 shm_ctlall u64; 8 shm_ctlmni u32; 9 shm_rmid_forced u32; 10 mq_queues_max u32; 11 mq_msg_max u32; "
        "12 mq_msgsize_max u32; 13 mq_msg_default u32; 14 mq_msgsize_default u32; 15 msg_next_id u32; "
        "16 sem_next_id u32; 17 shm_next_id u32"
    ),
    "macvlan_link_entry": "1 mode u32; 2 flags u32",
    "memfd_file_entry": "1 id u32; 2 flags u32; 3 pos u64; 4 fown fown_entry; 5 inode_id u32",
    "memfd_inode_entry": (
        "1 name str; 2 uid u32; 3 gid u32; 4 size u64; 5 shmid u32; 6 seals u32; 7 inode_id u64; 8 hugetlb_flag u32; "
        "9 mode u32"
    ),
    "aio_ring_entry": "1 id u64; 2 nr_req u32; 3 ring_len u32",
    "mm_entry": (
        "1 mm_start_code u64; 2 mm_end_code u64; 3 mm_start_data u64; 4 mm_end_data u64; 5 mm_start_stack u64; "
        "6 mm_start_brk u64; 7 mm_brk u64; 8 mm_arg_start u64; 9 mm_arg_end u64; 10 mm_env_start u64; "
        "11 mm_env_end u64; 12 exe_file_id u32; 13 mm_saved_auxv u64*; 14 vmas vma_entry*; 15 dumpable i32; "
        "16 aios aio_ring_entry*; 17 thp_disabled bool"
    ),
    "mnt_entry": (
        "1 fstype u32; 2 mnt_id u32; 3 root_dev u32; 4 parent_mnt_id u32; 5 flags u32; 6 root str; 7 mountpoint str; "
        "8 source str; 9 options str; 10 shared_id u32; 11 master_id u32; 12 with_plugin bool; 13 ext_mount bool; "
        "14 fsname str; 15 internal_sharing bool; 16 deleted bool; 17 sb_flags u32; 18 ext_key str"
    ),
    "net_device_entry": (
        "1 type u32; 2 ifindex u32; 3 mtu u32; 4 flags u32; 5 name str; 6 tun tun_link_entry; 7 address bytes; "
        "8 conf i32*; 9 conf4 sysctl_entry*; 10 conf6 sysctl_entry*; 11 macvlan macvlan_link_entry; "
        "12 peer_ifindex u32; 13 peer_nsid u32; 14 master u32; 15 sit sit_entry"
    ),
    "netns_id": "1 target_ns_id u32; 2 netnsid_value i32",
    "netns_entry": (
        "1 def_conf i32*; 2 all_conf i32*; 3 def_conf4 sysctl_entry*; 4 all_conf4 sysctl_entry*; "
        "5 def_conf6 sysctl_entry*; 6 all_conf6 sysctl_entry*; 7 nsids netns_id*; 8 ext_key str; "
        "9 unix_conf sysctl_entry*; 10 ipv4_sysctl sysctl_entry*"
    ),
    "ns_file_entry": "1 id u32; 2 ns_id u32; 3 ns_cflag u32; 4 flags u32",
    "packet_mclist": "1 index u32; 2 type u32; 3 addr bytes",
    "packet_ring": (
        "1 block_size u32; 2 block_nr u32; 3 frame_size u32; 4 frame_nr u32; 5 retire_tmo u32; 6 sizeof_priv u32; "
        "7 features u32"
    ),
    "packet_sock_entry": (
        "1 id u32; 2 type u32; 3 protocol u32; 4 flags u32; 5 ifindex u32; 6 fown fown_entry; 7 opts sk_opts_entry; "
        "8 version u32; 9 reserve u32; 10 aux_data bool; 11 orig_dev bool; 12 vnet_hdr bool; 13 loss bool; "
        "14 timestamp u32; 15 copy_thresh u32; 16 mclist packet_mclist*; 17 fanout u32; 18 rx_ring packet_ring; "
        "19 tx_ring packet_ring; 20 ns_id u32"
    ),
    "pagemap_head": "1 pages_id u32",
    "pagemap_entry": (
        "1 vaddr u64; 2 compat_nr_pages u32; 3 in_parent bool; 4 flags u32; 5 nr_pages u64; "
        "6 blocks any*; 7 total_compressed_size u64; 8 region_pages u32"
    ),
    "pagemap_blocks": "1 block_sizes u32*; 2 total_payload_size u64; 3 pages_per_block u32; 4 padded bool",
    "pidfd_entry": "1 id u32; 2 ino u32; 3 flags u32; 4 nspid i32; 5 fown fown_entry",
    "pidns_entry": "1 ext_key str",
    "pipe_data_entry": "1 pipe_id u32; 2 bytes u32; 3 size u32",
    "pipe_entry": "1 id u32; 2 pipe_id u32; 3 flags u32; 4 fown fown_entry",
    "pstree_entry": "1 pid u32; 2 ppid u32; 3 pgid u32; 4 sid u32; 5 threads u32*",
    "reg_file_entry": (
        "1 id u32; 2 flags u32; 3 pos u64; 5 fown fown_entry; 6 name str; 7 mnt_id z32; 8 size u64; 9 ext bool; "
        "10 mode u32; 11 build_id u32*; 12 checksum u32; 13 checksum_config u32; 14 checksum_parameter u32"
    ),
    "remap_file_path_entry": "1 orig_id u32; 2 remap_id u32; 3 remap_type u32",
    "rlimit_entry": "1 cur u64; 2 max u64",
    "rseq_entry": "1 rseq_abi_pointer u64; 2 rseq_abi_size u32; 3 signature u32; 4 rseq_cs_pointer u64",
    "sa_entry": (
        "1 sigaction u64; 2 flags u64; 3 restorer u64; 4 mask u64; 5 compat_sigaction bool; 6 mask_extended u64"
    ),
    "seccomp_filter": "1 filter bytes; 2 prev u32; 3 flags u32",
    "seccomp_entry": "1 seccomp_filters seccomp_filter*",
    "siginfo_entry": "1 siginfo bytes",
    "signal_queue_entry": "1 signals siginfo_entry*",
    "signalfd_entry": "1 id u32; 2 flags u32; 3 fown fown_entry; 4 sigmask u64",
    "sit_entry": (
        "1 link u32; 2 local u32*; 3 remote u32*; 4 ttl u32; 5 tos u32; 6 pmtudisc bool; 7 proto u32; 8 flags u32; "
        "9 encap_type u32; 10 encap_flags u32; 11 encap_sport u32; 12 encap_dport u32; 13 rd_prefixlen u32; "
        "14 rd_prefix u32*; 15 relay_prefixlen u32; 16 relay_prefix u32*"
    ),
    "ip_opts_raw_entry": "1 hdrincl bool; 2 nodefrag bool; 3 checksum bool; 4 icmpv_filter u32*",
    "ip_opts_entry": "1 freebind bool; 4 raw ip_opts_raw_entry; 5 pktinfo bool; 6 tos u32; 7 ttl u32",
    "inet_sk_entry": (
        "1 id u32; 2 ino u32; 3 family u32; 4 type u32; 5 proto u32; 6 state u32; 7 src_port u32; 8 dst_port u32; "
        "9 flags u32; 10 backlog u32; 11 src_addr u32*; 12 dst_addr u32*; 13 fown fown_entry; 14 opts sk_opts_entry; "
        "15 v6only bool; 16 ip_opts ip_opts_entry; 17 ifname str; 18 ns_id u32; 19 shutdown u32; "
        "20 tcp_opts tcp_opts_entry"
    ),
    "netlink_sk_entry": (
        "1 id u32; 2 ino u32; 3 protocol u32; 4 state u32; 6 flags u32; 7 portid u32; 8 groups u32*; "
        "9 dst_portid u32; 10 dst_group u32; 11 fown fown_entry; 12 opts sk_opts_entry; 13 ns_id u32"
    ),
    "sk_opts_entry": (
        "1 so_sndbuf u32; 2 so_rcvbuf u32; 3 so_snd_tmo_sec u64; 4 so_snd_tmo_usec u64; 5 so_rcv_tmo_sec u64; "
        "6 so_rcv_tmo_usec u64; 7 reuseaddr bool; 8 so_priority u32; 9 so_rcvlowat u32; 10 so_mark u32; "
        "11 so_passcred bool; 12 so_passsec bool; 13 so_dontroute bool; 14 so_no_check bool; 15 so_bound_dev str; "
        "16 so_filter f64*; 17 so_reuseport bool; 18 so_broadcast bool; 19 so_keepalive bool; 20 tcp_keepcnt u32; "
        "21 tcp_keepidle u32; 22 tcp_keepintvl u32; 23 so_oobinline u32; 24 so_linger u32; 25 so_buf_lock u32"
    ),
    "scm_entry": "1 type u32; 2 rights u32*",
    "sk_packet_entry": "1 id_for u32; 2 length u32; 4 scm scm_entry*",
    "file_perms_entry": "1 mode u32; 2 uid u32; 3 gid u32",
    "unix_sk_entry": (
        "1 id u32; 2 ino u32; 3 type u32; 4 state u32; 5 flags u32; 6 uflags u32; 7 backlog u32; 8 peer u32; "
        "9 fown fown_entry; 10 opts sk_opts_entry; 11 name bytes; 12 shutdown u32; 13 file_perms file_perms_entry; "
        "14 name_dir str; 15 deleted bool; 16 ns_id u32; 17 mnt_id z32"
    ),
    "dump_stats_entry": (
        "1 freezing_time u32; 2 frozen_time u32; 3 memdump_time u32; 4 memwrite_time u32; 5 pages_scanned u64; "
        "6 pages_skipped_parent u64; 7 pages_written u64; 8 irmap_resolve u32; 9 pages_lazy u64; 10 page_pipes u64; "
        "11 page_pipe_bufs u64; 12 shpages_scanned u64; 13 shpages_skipped_parent u64; 14 shpages_written u64"
    ),
    "restore_stats_entry": (
        "1 pages_compared u64; 2 pages_skipped_cow u64; 3 forking_time u32; 4 restore_time u32; 5 pages_restored u64"
    ),
    "stats_entry": "1 dump dump_stats_entry; 2 restore restore_stats_entry",
    "sysctl_entry": "1 type u32; 2 iarg i32; 3 sarg str",
    "tcp_opts_entry": "1 cork bool; 2 nodelay bool; 3 keepcnt u32; 4 keepidle u32; 5 keepintvl u32",
    "tcp_stream_entry": (
        "1 inq_len u32; 2 inq_seq u32; 3 outq_len u32; 4 outq_seq u32; 5 opt_mask u32; 6 snd_wscale u32; "
        "7 mss_clamp u32; 8 rcv_wscale u32; 9 timestamp u32; 10 cork bool; 11 nodelay bool; 12 unsq_len u32; "
        "13 snd_wl1 u32; 14 snd_wnd u32; 15 max_window u32; 16 rcv_wnd u32; 17 rcv_wup u32"
    ),
    "timeval": "1 tv_sec u64; 2 tv_usec u64",
    "timespec": "1 tv_sec u64; 2 tv_nsec u64",
    "timens_entry": "1 monotonic timespec; 2 boottime timespec",
    "itimer_entry": "1 isec u64; 2 iusec u64; 3 vsec u64; 4 vusec u64",
    "posix_timer_entry": (
        "1 it_id u32; 2 clock_id u32; 3 si_signo u32; 4 it_sigev_notify u32; 5 sival_ptr u64; 6 overrun u32; "
        "7 isec u64; 8 insec u64; 9 vsec u64; 10 vnsec u64; 11 notify_thread_id i32"
    ),
    "task_timers_entry": ("1 real itimer_entry; 2 virt itimer_entry; 3 prof itimer_entry; 4 posix posix_timer_entry*"),
    "timerfd_entry": (
        "1 id u32; 2 flags u32; 3 fown fown_entry; 4 clockid u32; 5 ticks u64; 6 settime_flags u32; 7 vsec u64; "
        "8 vnsec u64; 9 isec u64; 10 insec u64"
    ),
    "winsize_entry": "1 ws_row u32; 2 ws_col u32; 3 ws_xpixel u32; 4 ws_ypixel u32",
    "termios_entry": (
        "1 c_iflag u32; 2 c_oflag u32; 3 c_cflag u32; 4 c_lflag u32; 5 c_line u32; 6 c_ispeed u32; 7 c_ospeed u32; "
        "8 c_cc u32*"
    ),
    "tty_pty_entry": "1 index u32",
    "tty_data_entry": "1 tty_id u32; 2 data bytes",
    "tty_info_entry": (
        "1 id u32; 2 type u32; 3 locked bool; 4 exclusive bool; 5 packet_mode bool; 6 sid u32; 7 pgrp u32; "
        "8 rdev u32; 9 termios termios_entry; 10 termios_locked termios_entry; 11 winsize winsize_entry; "
        "12 pty tty_pty_entry; 13 dev u32; 14 uid u32; 15 gid u32"
    ),
    "tty_file_entry": "1 id u32; 2 tty_info_id u32; 3 flags u32; 4 fown fown_entry; 6 regf_id u32",
    "tunfile_entry": "1 id u32; 2 netdev str; 3 detached bool; 4 ns_id u32",
    "tun_link_entry": "1 flags u32; 2 owner i32; 3 group i32; 4 vnethdr u32; 5 sndbuf u32",
    "uid_gid_extent": "1 first u32; 2 lower_first u32; 3 count u32",
    "userns_entry": "1 uid_map uid_gid_extent*; 2 gid_map uid_gid_extent*",
    "utsns_entry": "1 nodename str; 2 domainname str",
    "vma_entry": (
        "1 start u64; 2 end u64; 3 pgoff u64; 4 shmid u64; 5 prot u32; 6 flags u32; 7 status u32; 8 fd z64; "
        "9 madv u64; 10 fdflags u32"
    ),
}
