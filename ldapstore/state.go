package ldapstore

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"gatehouse/oidc"
)

// disabledIf knows the one value that means disabled.
func disabledIf(off string) func(string, time.Time) (oidc.AccountState, error) {
	return func(value string, _ time.Time) (oidc.AccountState, error) {
		if strings.EqualFold(value, off) {
			return oidc.StateDisabled, nil
		}
		return oidc.StateActive, nil
	}
}

// disabledByFlag reads a number of flags, as userAccountControl is (MS-ADTS,
// section 2.2.16).
func disabledByFlag(flag int64) func(string, time.Time) (oidc.AccountState, error) {
	return func(value string, _ time.Time) (oidc.AccountState, error) {
		flags, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return oidc.StateDisabled, errors.New("not a number")
		}
		if flags&flag != 0 {
			return oidc.StateDisabled, nil
		}
		return oidc.StateActive, nil
	}
}

func expiredAtTime(value string, now time.Time) (oidc.AccountState, error) {
	at, err := parseGeneralizedTime(value)
	if err != nil {
		return oidc.StateDisabled, err
	}
	if !now.Before(at) {
		return oidc.StateExpired, nil
	}
	return oidc.StateActive, nil
}

func disabledUntilTime(value string, now time.Time) (oidc.AccountState, error) {
	at, err := parseGeneralizedTime(value)
	if err != nil {
		return oidc.StateDisabled, err
	}
	if now.Before(at) {
		return oidc.StateDisabled, nil
	}
	return oidc.StateActive, nil
}

// expiredAtDay reads shadowExpire: the day after 1 January 1970 from which the
// account is no longer valid; negative means never (RFC 2307, shadow(5)).
func expiredAtDay(value string, now time.Time) (oidc.AccountState, error) {
	day, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return oidc.StateDisabled, errors.New("not a number of days")
	}
	if day >= 0 && now.Unix()/(24*60*60) >= day {
		return oidc.StateExpired, nil
	}
	return oidc.StateActive, nil
}

// expiredAtFileTime reads accountExpires: steps of 100 ns since the year 1601; 0
// and the greatest number mean never (MS-ADA1, section 2.1).
func expiredAtFileTime(value string, now time.Time) (oidc.AccountState, error) {
	ticks, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return oidc.StateDisabled, errors.New("not a time of Active Directory")
	}
	const from1601to1970 = 11644473600
	if ticks > 0 && now.Unix() >= ticks/10_000_000-from1601to1970 {
		return oidc.StateExpired, nil
	}
	return oidc.StateActive, nil
}

var errGeneralizedTime = errors.New("not a generalized time")

// parseGeneralizedTime reads YYYYMMDDHH[MM[SS]][.fraction](Z|+HH[MM]|-HH[MM])
// (RFC 4517, section 3.3.13).
func parseGeneralizedTime(s string) (time.Time, error) {
	digits := func(n int) (int, bool) {
		if len(s) < n || strings.Trim(s[:n], "0123456789") != "" {
			return 0, false
		}
		v, err := strconv.Atoi(s[:n])
		s = s[n:]
		return v, err == nil
	}
	year, ok1 := digits(4)
	month, ok2 := digits(2)
	day, ok3 := digits(2)
	hour, ok4 := digits(2)
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return time.Time{}, errGeneralizedTime
	}
	unit := time.Hour // of the last element given, which a fraction divides
	minute, second := 0, 0
	if v, ok := digits(2); ok {
		minute, unit = v, time.Minute
		if v, ok := digits(2); ok {
			second, unit = v, time.Second
		}
	}
	// A leap second counts as the first of the next minute.
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, errGeneralizedTime
	}
	fraction := time.Duration(0)
	if s != "" && (s[0] == '.' || s[0] == ',') {
		n := len(s) - 1 - len(strings.TrimLeft(s[1:], "0123456789"))
		billionths, err := strconv.Atoi((s[1:1+n] + "000000000")[:9])
		if n == 0 || err != nil {
			return time.Time{}, errGeneralizedTime
		}
		fraction = time.Duration(billionths) * (unit / time.Second)
		s = s[1+n:]
	}
	offset, ok := parseOffset(s)
	if !ok {
		return time.Time{}, errGeneralizedTime
	}
	return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Add(fraction - offset), nil
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// parseOffset reads Z or the difference from UTC.
func parseOffset(s string) (time.Duration, bool) {
	if s == "Z" {
		return 0, true
	}
	if len(s) != 3 && len(s) != 5 || s[0] != '+' && s[0] != '-' || strings.Trim(s[1:], "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi((s[1:] + "00")[:4])
	if err != nil || n/100 > 23 || n%100 > 59 {
		return 0, false
	}
	d := time.Duration(n/100)*time.Hour + time.Duration(n%100)*time.Minute
	if s[0] == '-' {
		d = -d
	}
	return d, true
}
