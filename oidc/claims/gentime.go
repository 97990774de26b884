package claims

import (
	"errors"
	"strings"
	"time"
)

var errGeneralizedTime = errors.New("not a generalized time such as 20261231235959Z")

// ParseGeneralizedTime reads LDAP's generalized time (RFC 4517, section 3.3.13):
// YYYYMMDDHH, minutes and seconds that may be missing, a fraction of whatever
// stands last, then Z or an offset such as +0100. Second 60 is read as the next
// minute.
func ParseGeneralizedTime(text string) (time.Time, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	if digits != 10 && digits != 12 && digits != 14 {
		return time.Time{}, errGeneralizedTime
	}
	number := func(from, to int) int {
		n := 0
		for _, c := range []byte(text[from:min(to, digits)]) {
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day, hour := number(0, 4), number(4, 6), number(6, 8), number(8, 10)
	minute, second, unit := 0, 0, time.Hour
	if digits >= 12 {
		minute, unit = number(10, 12), time.Minute
	}
	if digits == 14 {
		second, unit = number(12, 14), time.Second
	}
	fraction, rest, err := timeFraction(text[digits:], unit)
	if err != nil {
		return time.Time{}, err
	}
	offset, err := timeOffset(rest)
	if err != nil {
		return time.Time{}, err
	}
	at := time.Date(year, time.Month(month), day, hour, 0, 0, 0, time.UTC)
	// Date takes the 31st of February for a day in March; a date must come back
	// as it went in.
	if at.Year() != year || int(at.Month()) != month || at.Day() != day || at.Hour() != hour || minute > 59 || second > 60 {
		return time.Time{}, errGeneralizedTime
	}
	at = at.Add(time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + fraction - offset)
	return at, nil
}

// timeFraction reads "." or "," and digits, a part of unit.
func timeFraction(text string, unit time.Duration) (fraction time.Duration, rest string, err error) {
	if text == "" || text[0] != '.' && text[0] != ',' {
		return 0, text, nil
	}
	rest = strings.TrimLeft(text[1:], "0123456789")
	digits := text[1 : len(text)-len(rest)]
	if digits == "" {
		return 0, "", errGeneralizedTime
	}
	for _, c := range []byte(digits) {
		unit /= 10
		fraction += time.Duration(c-'0') * unit
	}
	return fraction, rest, nil
}

// timeOffset reads Z, or a sign, hours and perhaps minutes.
func timeOffset(text string) (time.Duration, error) {
	if text == "Z" {
		return 0, nil
	}
	if len(text) != 3 && len(text) != 5 || text[0] != '+' && text[0] != '-' || strings.Trim(text[1:], "0123456789") != "" {
		return 0, errGeneralizedTime
	}
	hours := time.Duration(text[1]-'0')*10 + time.Duration(text[2]-'0')
	minutes := time.Duration(0)
	if len(text) == 5 {
		minutes = time.Duration(text[3]-'0')*10 + time.Duration(text[4]-'0')
	}
	if hours > 23 || minutes > 59 {
		return 0, errGeneralizedTime
	}
	offset := hours*time.Hour + minutes*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, nil
}
