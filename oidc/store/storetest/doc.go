// Package storetest owns what any store of Gatehouse must do, as tests: Run for
// the rules of each method, Work and Ledger for what must hold when the process
// is killed.
//
// It leaves the database to its caller, who hands in an open store, and knows no
// driver. Always true: a case that passes on SQLite must pass on any other
// database too, or one of them is wrong.
package storetest
