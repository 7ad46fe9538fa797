/** What a view has beside its state: large results, fetched when they are looked at, and changes that the host does not show yet. */

/** The view that they are of, as far as they are concerned. */
interface Owner {
  requestUpdate(): void;
}

/** Results by name; null where there is none. */
export class Kept<Values extends object> {
  /** Revisions that were asked for. */
  private readonly asked = new Map<keyof Values, number>();

  constructor(
    private readonly owner: Owner,
    public values: Values,
    /** Undefined when the host refused. */
    private readonly fetch: (name: keyof Values) => Promise<Values[keyof Values] | undefined>,
  ) {}

  /**
   * Fetches what has another revision than what is here. The old one stays until the new one is there. Before an update, revision 0:
   * there is none.
   */
  need(name: keyof Values, revision: number): void {
    if (this.asked.get(name) === revision) return;
    this.asked.set(name, revision);
    if (revision === 0) {
      this.values = { ...this.values, [name]: null };
      return;
    }
    void this.fetch(name).then((value) => {
      if (this.asked.get(name) !== revision || value === undefined) return;
      this.values = { ...this.values, [name]: value };
      this.owner.requestUpdate();
    });
  }
}

interface Mark {
  value: unknown;
  answered: boolean;
}

/** What a person has changed of a view's look and the host has not shown to know yet: what is drawn does not wait for it. */
export class PendingLook<Look extends object> {
  private marks = new Map<string, Mark>();

  constructor(
    private readonly owner: Owner,
    /** Undefined when the host refused. */
    private readonly send: (change: Partial<Look>) => Promise<unknown>,
  ) {}

  /** The look as the person has set it. */
  of(look: Look): Look {
    const own = Object.fromEntries([...this.marks].map(([name, { value }]) => [name, value])) as Partial<Look>;
    return { ...look, ...own };
  }

  change(change: Partial<Look>): void {
    const marks = Object.entries(change).map(([name, value]): [string, Mark] => [name, { value, answered: false }]);
    this.marks = new Map([...this.marks, ...marks]);
    this.owner.requestUpdate();
    void this.send(change).then((answer) => {
      for (const [name, mark] of marks) {
        if (this.marks.get(name) !== mark) continue;
        mark.answered = true;
        // Refused: the host's own look is shown again.
        if (answer === undefined && this.marks.delete(name)) this.owner.requestUpdate();
      }
    });
  }

  /** The host has told its state, which has what it has answered. */
  settle(): void {
    for (const [name, { answered }] of this.marks) if (answered) this.marks.delete(name);
  }
}
