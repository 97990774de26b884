//go:build !linux

package main

import "io/fs"

// freeSpace is known on Linux only.
func freeSpace(string) (int64, bool) { return 0, false }

// ownerOf is known on Linux only.
func ownerOf(fs.FileInfo) (uid int, ok bool) { return 0, false }

// keepOwner is done on Linux only.
func keepOwner(string, fs.FileInfo) error { return nil }
