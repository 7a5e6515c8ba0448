package state

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"sluice/internal/fault"
)

// classify turns an error of a driver into one with a fault kind. Errors that have a kind keep it.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return fault.Wrap("", op, err)
	}
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return classifySQLite(op, lite)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return classifyPostgres(op, pg)
	}
	var dial *pgconn.ConnectError
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap("", op, err)
	case errors.As(err, &dial), errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, driver.ErrBadConn), pgconn.SafeToRetry(err):
		return fault.New(fault.Unavailable, op, "the state database does not answer").WithCause(err)
	}
	return fault.Wrap(fault.Internal, op, err)
}

func classifySQLite(op string, err *sqlite.Error) error {
	switch err.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return fault.New(fault.Full, op, "no space for the state database").WithHint("free disk space").WithCause(err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fault.New(fault.Unavailable, op, "the state database is locked by somebody else").
			WithHint("end other programs that have the file open").WithCause(err)
	case sqlite3.SQLITE_IOERR:
		return fault.New(fault.Unavailable, op, "the disk of the state database fails").WithCause(err)
	case sqlite3.SQLITE_NOTADB:
		return fault.New(fault.Config, op, "the file is not a SQLite database").
			WithHint("point `state` to another file, or restore this one from a backup").WithCause(err)
	case sqlite3.SQLITE_CORRUPT:
		return fault.New(fault.Config, op, "the state database is damaged").
			WithHint("restore it from a backup").WithCause(err)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY:
		return fault.New(fault.Config, op, "the state database cannot be opened for writing").
			WithHint("give the user that runs Sluice the right to write the file and its folder").WithCause(err)
	}
	return fault.Wrap(fault.Internal, op, err)
}

func classifyPostgres(op string, err *pgconn.PgError) error {
	// The server's text can quote values; its code and message suffice.
	cause := errors.New(err.Message + " (SQLSTATE " + err.Code + ")")
	switch {
	case err.Code == "53100":
		return fault.New(fault.Full, op, "no space on the database server").WithHint("free disk space there").WithCause(cause)
	case strings.HasPrefix(err.Code, "28"):
		return fault.New(fault.Auth, op, "the database server refused the login").
			WithHint("check user and password in `state`").WithCause(cause)
	case err.Code == "42501":
		return fault.New(fault.Permission, op, "the database user lacks a right").
			WithHint("the user must own the schema that Sluice uses").WithCause(cause)
	case strings.HasPrefix(err.Code, "3D"), strings.HasPrefix(err.Code, "3F"):
		return fault.New(fault.Config, op, "the database or schema does not exist").
			WithHint("create it, or correct `state`").WithCause(cause)
	case strings.HasPrefix(err.Code, "08"), strings.HasPrefix(err.Code, "53"), strings.HasPrefix(err.Code, "57"),
		strings.HasPrefix(err.Code, "40"), strings.HasPrefix(err.Code, "58"), // its disk, or a pooler's server
		err.Code == "55P03", err.Code == "55000", // a database that takes no connections
		err.Code == "25006",                      // a standby, or about to become one
		err.Code == "25P03", err.Code == "25P04": // time-outs of the transaction
		return fault.New(fault.Unavailable, op, "the database server cannot do this at the moment").WithCause(cause)
	}
	return fault.Wrap(fault.Internal, op, cause)
}

// isUnique reports whether err is a violation of a UNIQUE or PRIMARY KEY constraint.
func isUnique(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}
