/**
 * Attention flow (Abnar & Zuidema 2020): how much can flow from a token of a block's output down to each token of the input, when
 * every edge carries no more than its attention weight. The graph has a level for the input and one for each block's output:
 *
 *     (k+1, i) → (k, j) with capacity A_k[i,j], A = ½·W + ½·I with rows that sum to 1
 *
 * Maximum flow by Dinic's method: blocking flows along shortest residual paths until there are none.
 */

/** Less than this is no capacity: far below what float32 weights mean. */
const NOTHING = 1e-10;

export class LayeredFlow {
  private readonly levels: number;
  /** What has flowed along each edge, as `capacities`. */
  private readonly flows: Float64Array[];
  /** Of node (level·T + token): steps to the sink, and the next of its edges to be tried. */
  private readonly distance: Int32Array;
  private readonly next: Int32Array;
  private readonly queue: Int32Array;

  /** A of each block [T,T], the lowest first. */
  constructor(
    private readonly capacities: readonly Float64Array[],
    private readonly length: number,
  ) {
    this.levels = capacities.length;
    this.flows = capacities.map(({ length: size }) => new Float64Array(size));
    const nodes = (this.levels + 1) * length;
    this.distance = new Int32Array(nodes);
    this.next = new Int32Array(nodes);
    this.queue = new Int32Array(nodes);
  }

  /** To every token of the input from a token of the top. */
  from(source: number): Float64Array {
    return Float64Array.from({ length: this.length }, (_, sink) => this.between(source, sink));
  }

  private between(source: number, sink: number): number {
    for (const flow of this.flows) flow.fill(0);
    // No more can leave the source or reach the sink; when that much flows, it is the maximum.
    const most = Math.min(this.outOf(source), this.into(sink));
    let total = 0;
    while (total < most - NOTHING && this.measure(source, sink)) {
      this.next.fill(0);
      const pushed = this.push(this.levels, source, sink, Infinity);
      if (pushed <= NOTHING) break;
      total += pushed;
    }
    return Math.min(total, most);
  }

  private outOf(source: number): number {
    const top = this.capacities[this.levels - 1] as Float64Array;
    let sum = 0;
    for (let key = 0; key < this.length; key++) sum += top[source * this.length + key] as number;
    return sum;
  }

  private into(sink: number): number {
    const bottom = this.capacities[0] as Float64Array;
    let sum = 0;
    for (let query = 0; query < this.length; query++) sum += bottom[query * this.length + sink] as number;
    return sum;
  }

  /** Steps to the sink over residual edges, breadth first: false when the source cannot reach it. */
  private measure(source: number, sink: number): boolean {
    const { length, levels, distance, queue, capacities, flows } = this;
    const goal = levels * length + source;
    distance.fill(-1);
    let end = 0;
    queue[end++] = sink;
    distance[sink] = 0;
    for (let begin = 0; begin < end; begin++) {
      const node = queue[begin] as number;
      if (node === goal) return true;
      const level = Math.floor(node / length);
      const token = node % length;
      const far = (distance[node] as number) + 1;
      const reach = (other: number): void => {
        distance[other] = far;
        queue[end++] = other;
      };
      if (level < levels) {
        const capacity = capacities[level] as Float64Array;
        const flow = flows[level] as Float64Array;
        const above = (level + 1) * length;
        for (let query = 0; query < length; query++) {
          const at = query * length + token;
          if ((distance[above + query] as number) < 0 && (capacity[at] as number) - (flow[at] as number) > NOTHING)
            reach(above + query);
        }
      }
      // Flow that comes in here can be sent elsewhere by the node that it comes to from below.
      if (level > 0) {
        const flow = flows[level - 1] as Float64Array;
        const below = (level - 1) * length;
        for (let key = 0; key < length; key++)
          if ((distance[below + key] as number) < 0 && (flow[token * length + key] as number) > NOTHING)
            reach(below + key);
      }
    }
    return false;
  }

  /** Sends up to `limit` on from a node along edges that lead one step nearer to the sink; gives what arrived. */
  private push(level: number, token: number, sink: number, limit: number): number {
    if (level === 0 && token === sink) return limit;
    const { length, levels, distance, next, capacities, flows } = this;
    const node = level * length + token;
    const nearer = (distance[node] as number) - 1;
    let sent = 0;
    // Edges down come first, then those that take flow back up.
    for (; (next[node] as number) < 2 * length; next[node] = (next[node] as number) + 1) {
      const edge = next[node] as number;
      const isDown = edge < length;
      const other = isDown ? edge : edge - length;
      const otherLevel = isDown ? level - 1 : level + 1;
      if (otherLevel < 0 || otherLevel > levels || distance[otherLevel * length + other] !== nearer) continue;
      const flow = flows[isDown ? level - 1 : level] as Float64Array;
      const at = isDown ? token * length + other : other * length + token;
      const room = isDown
        ? ((capacities[level - 1] as Float64Array)[at] as number) - (flow[at] as number)
        : (flow[at] as number);
      if (room <= NOTHING) continue;
      const arrived = this.push(otherLevel, other, sink, Math.min(limit - sent, room));
      flow[at] = (flow[at] as number) + (isDown ? arrived : -arrived);
      sent += arrived;
      // The edge may have room left for the next who comes.
      if (limit - sent <= NOTHING) return sent;
    }
    return sent;
  }
}
