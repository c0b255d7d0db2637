// SPDX-License-Identifier: Apache-2.0

package check

import (
	"cmp"
	"fmt"
	"net/netip"

	"github.com/oakestra/oakestra-ebpf/tools/oaknet/inspect"
)

// silence is how long nothing may have come from a peer that is up, in seconds: it is greeted every 15 s and answers.
const silence = 40

// Peers judges the other workers, whom it can be asked about for with ways tried by [Try].
func Peers(v View, tried map[uint32]Way) Findings {
	var f Findings
	if len(v.Nodes) == 0 {
		f.add(Note, "peers", "no other worker is known: only instances here can be reached", "none needed if this is the cluster's only worker")
	}
	for _, n := range v.Nodes {
		f.peer(v, n)
		f.room(v, n)
		if way, ok := tried[n.Index]; ok {
			f.way(n, way)
		}
	}
	return f
}

func peerName(n inspect.Node) string {
	return "peer " + cmp.Or(n.WorkerID, fmt.Sprintf("#%d", n.Index))
}

func (f *Findings) peer(v View, n inspect.Node) {
	subject := peerName(n)
	open := fmt.Sprintf("let UDP port %d pass both ways between the workers, and see that its NetManager runs", v.Status.Config.TunnelPort)
	switch n.State {
	case "greeting":
		f.add(Failure, subject, "was never met: it has not answered a greeting", open)
	case "unreachable":
		if !n.Outer.IsValid() {
			f.add(Failure, subject, "cannot be reached: "+n.Reason,
				"forward that port to the worker there, and name address and port in its netcfg.json (NodePublicAddress, NodePublicPort)")
			return
		}
		f.add(Failure, subject, "does not answer at "+outerOf(n)+heardText(n)+": new flows pass it by", open)
	case "up":
		if n.LastHeard == nil || *n.LastHeard > silence {
			f.add(Warning, subject, "is up at "+outerOf(n)+", yet silent"+heardText(n), open)
			return
		}
		round := ""
		if n.RTT != nil {
			round = fmt.Sprintf(", round trip %.2f ms through the tunnel", *n.RTT)
		}
		f.add(OK, subject, fmt.Sprintf("up at %s, heard %.1f s ago%s", outerOf(n), *n.LastHeard, round), "")
	default:
		f.add(Warning, subject, "is in a state that this oak-net does not know: "+n.State, "use the oak-net of NetManager's build")
	}
}

func outerOf(n inspect.Node) string {
	if !n.Outer.IsValid() {
		return "no address"
	}
	return netip.AddrPortFrom(n.Outer, n.Port).String()
}

func heardText(n inspect.Node) string {
	if n.LastHeard == nil {
		return ", and nothing ever came from it"
	}
	return fmt.Sprintf(" for %.0f s", *n.LastHeard)
}

// Overhead is what the tunnel to a node adds to a packet, in bytes.
func Overhead(n inspect.Node) int {
	const over4, over6 = 36, 56
	if n.Outer.Is6() {
		return over6
	}
	return over4
}

// insideIPv6 is what IPv6 has to have.
const insideIPv6 = 1280

// room holds containers' largest packets against what the way to a peer takes.
func (f *Findings) room(v View, n inspect.Node) {
	if n.PathMTU != 0 {
		f.narrow(v, n)
		return
	}
	if n.MTU == 0 || v.Status.Config.MTU == 0 {
		return
	}
	if need := v.Status.Config.MTU; need > n.MTU {
		f.add(Warning, peerName(n), fmt.Sprintf("the tunnel to it takes %d bytes, containers' largest packets have %d: they learn to send smaller ones, flow by flow", n.MTU, need),
			fmt.Sprintf("raise the MTU of the way to %d, or lower the uplink's here and start the containers anew", int(need)+Overhead(n)))
	}
}

// narrow is for a way of which a router has said that it carries less than its ends.
func (f *Findings) narrow(v View, n inspect.Node) {
	text := fmt.Sprintf("a router on the way says that it carries %d bytes: %d in the tunnel", int(n.PathMTU)+Overhead(n), n.PathMTU)
	if n.PathLearned != nil && n.PathFor != nil {
		text += fmt.Sprintf(" (learned %.0f s ago, tried anew in %.0f s)", *n.PathLearned, *n.PathFor)
	}
	switch {
	case n.PathMTU < insideIPv6 && v.Status.Config.GatewayV6.IsValid():
		f.add(Warning, peerName(n), text+fmt.Sprintf("; IPv6 needs %d, and its larger packets are lost", insideIPv6),
			fmt.Sprintf("raise the MTU of the way to %d at least", insideIPv6+Overhead(n)))
	case v.Status.Config.MTU > n.PathMTU:
		f.add(Note, peerName(n), text+"; containers learn to send smaller packets, flow by flow",
			fmt.Sprintf("none needed; set the uplinks' MTU to %d to spare each flow's first loss", int(n.PathMTU)+Overhead(n)))
	default:
		f.add(OK, peerName(n), text+", which is enough", "")
	}
}

// way judges what echoes have shown.
func (f *Findings) way(n inspect.Node, w Way) {
	subject := peerName(n)
	switch {
	case w.Err != nil:
		f.add(Note, subject, "the way was not tried: "+w.Err.Error(), "run oak-net as root in the worker's network namespace")
	case !w.Answered && n.State == "up":
		f.add(Note, subject, "its host answers no ICMP echo: round trip and MTU cannot be tried", "none needed if a firewall does that on purpose")
	case !w.Answered:
		f.add(Note, subject, "its host answers no ICMP echo either", "see whether it runs, and whether there is a route to it")
	case w.Bytes < w.Tried && w.Bytes >= w.Told && w.Told != 0:
		f.add(Note, subject, fmt.Sprintf("packets of %d bytes arrive, and of longer ones a router says so: containers learn to send smaller packets, flow by flow", w.Bytes),
			fmt.Sprintf("none needed; set the uplinks' MTU to %d to spare each flow's first loss", w.Bytes))
	case w.Bytes < w.Tried:
		f.add(Failure, subject, fmt.Sprintf("packets of %d bytes are lost, of %d bytes arrive: something on the way takes less and does not say so", w.Tried, w.Bytes),
			fmt.Sprintf("set the uplink's MTU to %d on both workers, or let ICMP `fragmentation needed` and `packet too big` pass", w.Bytes))
	default:
		f.add(OK, subject, fmt.Sprintf("round trip %.2f ms, packets of %d bytes arrive", w.RoundTrip.Seconds()*1000, w.Bytes), "")
	}
}
