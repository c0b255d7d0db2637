// SPDX-License-Identifier: Apache-2.0

package sla

import "strings"

// nearMiss returns the known field that an unknown one was probably meant to be, or "". Known are the names of one object.
func nearMiss(key string, known []string) string {
	if len(key) > 40 || servers(key) {
		return ""
	}
	folded := fold(key)
	for _, k := range known {
		// `image` and `env` stand in the crosvm page of earlier releases' documentation, where they never worked.
		if folded == fold(k) || key == "image" && k == "code" || key == "env" && k == "environment" {
			return k
		}
	}
	best, least := "", 3
	for _, k := range known {
		if d := distance(folded, fold(k)); d < least && d*3 <= len(k) {
			best, least = k, d
		}
	}
	return best
}

// servers reports whether a field is one that earlier releases' servers add to descriptors that they give out.
func servers(key string) bool {
	switch key {
	case "_id", "userId", "action", "job_name", "app_name", "app_ns", "service_name", "service_ns", "RR_ip", "RR_ip_v6",
		"next_instance_progressive_number", "instance_list", "instances", "service_ip_list", "status", "status_detail",
		"vm_images", "last_modified_timestamp":
		return true
	}
	return false
}

// fold removes what people confuse: case and separators.
func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// distance is the number of inserted, removed and replaced bytes between a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
