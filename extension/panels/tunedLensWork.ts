/** The tuned lens of the selected model: whether there is one, and its training on files that the person chooses. */
import * as vscode from 'vscode';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import type { ModelRef } from '../protocol/engine';
import { LensError, type ErrorData } from '../protocol/errors';
import { TUNE_DEFAULTS, type TunedLensStatus, type TuneSettings } from '../protocol/ffn';
import { count } from '../protocol/format';
import type { MemoriesState } from '../protocol/memoriesView';
import { askForFiles, askForFolder, sourcesOf, TEXTS, workspaceFiles } from './corpusFiles';
import { Latest } from './latest';

const MOST_TOKENS = 1e9;
const NOTHING: TunedLensStatus = { lens: null, unfinished: null };

const keyOf = (model: ModelRef | undefined): string => JSON.stringify(model ?? null);

/** What there is of one model, when it is known and as far as it is. */
interface Known {
  key: string;
  status: Promise<TunedLensStatus>;
  present: TunedLensStatus;
}

export class TunedLensWork implements vscode.Disposable {
  private readonly latest: Latest<string>;
  private known: Known | null = null;
  private failure: { key: string; error: ErrorData } | null = null;
  private trainings = 0;

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    /** Where lenses are kept, and texts that come with the extension. */
    private readonly folders: { cache: string; texts: vscode.Uri },
    private readonly onChange: () => void,
  ) {
    this.latest = new Latest<string>(onChange);
  }

  /** Of the selected model, as far as it is known. */
  get state(): MemoriesState['tuned'] {
    const key = keyOf(this.library.selected?.ref);
    const { question, progress } = this.latest;
    return {
      ...(this.known?.key === key ? this.known.present : NOTHING),
      running: question === key ? (progress ?? { message: vscode.l10n.t('Starting…') }) : null,
      error: this.failure?.key === key ? this.failure.error : null,
    };
  }

  /** Another number for every other lens of a model. */
  get revision(): number {
    return this.trainings;
  }

  /** Resolves when the state has what there is of the model. */
  async read(model: ModelRef): Promise<void> {
    const key = keyOf(model);
    const known = this.known?.key === key ? this.known : this.ask(model, key);
    try {
      const present = await known.status;
      if (known.present === present) return;
      known.present = present;
    } catch {
      // Whatever keeps the model from being read is told where its states are asked for.
      if (this.known === known) this.known = null;
    }
    this.onChange();
  }

  /** Asks for texts, and how many tokens of them, where they are not given. True: it was trained. Throws `bad-input`. */
  async train(texts?: readonly vscode.Uri[], given?: number): Promise<boolean> {
    const model = this.library.require().ref;
    const uris = texts ?? (await this.askForTexts());
    if (uris === undefined) return false;
    const sources = await sourcesOf(uris, TEXTS);
    const tokens = given ?? (await askForTokens());
    if (tokens === undefined) return false;
    return this.work(model, { ...TUNE_DEFAULTS, sources, tokens });
  }

  /** Where it was stopped. */
  async goOn(): Promise<boolean> {
    return this.work(this.library.require().ref);
  }

  /** What is done is kept, and can be gone on from. */
  stop(): void {
    this.latest.cancel();
  }

  dispose(): void {
    this.latest.cancel();
  }

  private ask(model: ModelRef, key: string): Known {
    const status = this.engine.request('tunedLens', { model, cache: this.folders.cache }, {});
    return (this.known = { key, status, present: NOTHING });
  }

  private async work(model: ModelRef, begin?: TuneSettings): Promise<boolean> {
    const key = keyOf(model);
    this.failure = null;
    const params = { model, cache: this.folders.cache, ...(begin === undefined ? {} : { begin }) };
    const outcome = await this.latest.start(key, (options) => this.engine.request('tuneLens', params, options));
    if (outcome !== null && 'error' in outcome) this.failure = { key, error: outcome.error };
    this.trainings += 1;
    if (this.known?.key === key) this.known = null;
    await this.read(model);
    return outcome !== null && 'result' in outcome;
  }

  /** Undefined: the person gave up. */
  private async askForTexts(): Promise<readonly vscode.Uri[] | undefined> {
    const item = (label: string, uris: () => Promise<vscode.Uri[] | undefined>) => ({ label, uris });
    const chosen = await vscode.window.showQuickPick(
      [
        item(vscode.l10n.t('The Workspace'), () => workspaceFiles(TEXTS)),
        item(vscode.l10n.t('A Folder…'), () => askForFolder()),
        item(vscode.l10n.t('Files…'), () => askForFiles(TEXTS, vscode.l10n.t('Texts'))),
        item(vscode.l10n.t('The Included Texts'), async () => [this.folders.texts]),
      ],
      { title: vscode.l10n.t('Texts to Train the Tuned Lens On') },
    );
    return chosen?.uris();
  }
}

/** Undefined: the person gave up. */
async function askForTokens(): Promise<number | undefined> {
  const numberIn = (text: string): number | null =>
    /^\d+$/u.test(text.trim()) && Number(text) >= 1 && Number(text) <= MOST_TOKENS ? Number(text) : null;
  const text = await vscode.window.showInputBox({
    title: vscode.l10n.t('Tokens to Train the Tuned Lens On'),
    prompt: vscode.l10n.t('About a minute for every thousand, with BERT-base; it can be stopped and gone on with.'),
    value: String(TUNE_DEFAULTS.tokens),
    validateInput: (value) =>
      numberIn(value) === null ? vscode.l10n.t('A number from 1 to {0}', count(MOST_TOKENS)) : undefined,
  });
  if (text === undefined) return undefined;
  const tokens = numberIn(text);
  if (tokens !== null) return tokens;
  throw new LensError('bad-input', `“${text}” is no number of tokens.`, 'Write a whole number.');
}
