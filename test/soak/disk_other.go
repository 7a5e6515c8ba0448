//go:build !linux

package main

import "errors"

var errNoDisk = errors.New("full disks are not tested: small file systems are made on Linux only")

func canMount() error { return errNoDisk }

// freeSpace is not known here.
func freeSpace(string) int64 { return 0 }

type disk struct{}

func mountDisk(string, int) (*disk, error) { return nil, errNoDisk }

func (*disk) leave(int64) error { return errNoDisk }

func (*disk) free() error { return errNoDisk }

func (*disk) close() error { return errNoDisk }
