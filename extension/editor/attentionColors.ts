/**
 * The picture is the text: the words that the word at the caret attends to, or that attend to it, coloured in the document. The
 * picture by words is kept, so that a move of the caret inside of it only reads another row.
 */
import * as vscode from 'vscode';
import { COMMANDS, CONTEXT_KEYS } from '../commands/ids';
import { notify } from '../commands/notify';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import { Answer } from '../panels/answer';
import { colorSelection, FIRST_LOOK } from '../panels/attentionPlan';
import type { Place } from '../panels/place';
import { requirePlace, type SharedSubject } from '../panels/sharedSubject';
import type { AttentionMaps } from '../protocol/attention';
import type { AttentionLook } from '../protocol/attentionView';
import { LensError } from '../protocol/errors';
import { headName, modelName, precise, probability, shortened } from '../protocol/format';
import { coloredWords, stepFrom, unitAt, type ColoredWord } from './attentionScale';
import { rangeOf } from './document';
import { shadeDecorations, WEIGHT_SHADES } from './shades';

const MAX_WORD = 40;

export interface AttentionShown {
  place: Place;
  maps: AttentionMaps;
  /** The word at the caret. */
  unit: number;
  words: ColoredWord[];
  strongest: number;
  /** What goes to (or comes from) special tokens. */
  elsewhere: number;
}

export class AttentionColors implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly maps = new Answer<AttentionMaps>(() => this.drawLegend());
  private on = false;
  private look: AttentionLook = FIRST_LOOK;
  private current: AttentionShown | null = null;
  private readonly decorations: vscode.TextEditorDecorationType[];
  private readonly targetDecoration: vscode.TextEditorDecorationType;
  private readonly legend: vscode.StatusBarItem;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
    private readonly shared: SharedSubject,
  ) {
    this.decorations = shadeDecorations('attention', WEIGHT_SHADES);
    this.targetDecoration = vscode.window.createTextEditorDecorationType({
      outline: '1px solid',
      outlineColor: new vscode.ThemeColor('onnxLens.attentionTarget'),
      overviewRulerColor: new vscode.ThemeColor('onnxLens.attentionTarget'),
      rangeBehavior: vscode.DecorationRangeBehavior.ClosedClosed,
    });
    this.legend = vscode.window.createStatusBarItem('onnxLens.attention', vscode.StatusBarAlignment.Right, 88);
    this.legend.name = vscode.l10n.t('ONNX Lens Attention');
    this.legend.command = COMMANDS.hideAttentionInDocument;
    this.subscriptions = [
      ...this.decorations,
      this.targetDecoration,
      this.legend,
      shared.onDidChange((change) => {
        if (change === 'text') this.onText();
        else void this.refresh();
      }),
      library.onDidChange(() => void this.refresh()),
      vscode.window.onDidChangeVisibleTextEditors(() => this.draw()),
      vscode.languages.registerHoverProvider('*', {
        provideHover: (document, position) => this.hover(document, position),
      }),
    ];
  }

  get active(): boolean {
    return this.on;
  }

  /** What is coloured now. */
  get shown(): AttentionShown | null {
    return this.current;
  }

  setLook(look: AttentionLook): void {
    this.look = look;
    void this.refresh();
  }

  /** Colours the words around the shared target, and follows the caret from now on. Fails with a `LensError`. */
  async show(): Promise<void> {
    requirePlace(this.shared.place);
    this.setOn(true);
    await this.update();
    const { error } = this.maps;
    if (error === null) return;
    this.hide();
    throw LensError.fromData(error);
  }

  hide(): void {
    if (!this.on) return;
    this.setOn(false);
    this.maps.clear();
    this.current = null;
    this.draw();
  }

  dispose(): void {
    this.maps.clear();
    this.shared.follow('colors', false);
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private setOn(on: boolean): void {
    if (this.on === on) return;
    this.on = on;
    this.shared.follow('colors', on);
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.attentionShown, on);
    this.changed.fire();
  }

  /** Something that decides the colours may be another one now. */
  private async refresh(): Promise<void> {
    if (!this.on) return;
    await this.update();
    const { error } = this.maps;
    if (error === null || !this.active) return;
    this.hide();
    notify(LensError.fromData(error));
  }

  private async update(): Promise<void> {
    const { place, interventions } = this.shared;
    if (place === null) return;
    const selection = colorSelection(this.look);
    const id = this.library.selected?.ref.id;
    const key = JSON.stringify([place.id, id, interventions, selection]);
    this.color(key, place);
    await this.maps.want(key, ({ signal, progress }) =>
      this.engine.request(
        'attentionMaps',
        { model: this.library.require().ref, ...place.input, interventions: [...interventions], ...selection },
        { signal, progress },
      ),
    );
    const maps = this.maps.resultOf(key);
    if (maps !== null) place.tell(maps.window);
    if (this.on && this.shared.place === place) this.color(key, place);
  }

  /** Of the picture for this key, if it is there; otherwise nothing is coloured. */
  private color(key: string, place: Place): void {
    const maps = this.maps.resultOf(key);
    const { target } = this.shared;
    const { direction } = this.look;
    const unit = maps === null || target === null ? -1 : unitAt(maps.units, target.text, target.range);
    this.current = maps === null || unit < 0 ? null : { place, maps, unit, ...coloredWords(maps, unit, direction) };
    this.draw();
  }

  private onText(): void {
    if (!this.on) return;
    // The picture belongs to the text as it was.
    if (this.shared.place?.stale === true) this.hide();
    else this.draw();
  }

  private draw(): void {
    const { current } = this;
    for (const editor of vscode.window.visibleTextEditors) {
      const steps: vscode.Range[][] = this.decorations.map(() => []);
      const target: vscode.Range[] = [];
      if (current !== null) {
        const { words, maps, unit } = current;
        for (const word of words) {
          const place = this.placeOf(editor.document, current.place, word);
          if (place === null) continue;
          if (word.unit === maps.units[unit]) target.push(place);
          steps[word.step - 1]?.push(place);
        }
      }
      this.decorations.forEach((decoration, step) => editor.setDecorations(decoration, steps[step] ?? []));
      editor.setDecorations(this.targetDecoration, target);
    }
    this.drawLegend();
  }

  private placeOf(document: vscode.TextDocument, place: Place, { unit }: ColoredWord): vscode.Range | null {
    const subject = place.subjectOf(unit.text);
    if (unit.range === null || subject.uri.toString() !== document.uri.toString()) return null;
    return rangeOf(document, subject.toDocument(unit.range));
  }

  private drawLegend(): void {
    const { current, look } = this;
    if (!this.on) {
      this.legend.hide();
      return;
    }
    const icon = '$(eye)';
    const from = look.direction === 'from';
    if (current === null) {
      this.legend.text = `${icon} ${this.maps.loading ? vscode.l10n.t('Attention…') : vscode.l10n.t('Attention: no word')}`;
      this.legend.tooltip = vscode.l10n.t(
        'Put the caret on a word of the text that is looked at. Click to hide the colors.',
      );
    } else {
      const { maps, unit, strongest, elsewhere } = current;
      const name = `${pictureName(look)} · ${look.method}`;
      const word = shortened(maps.units[unit]?.label ?? '', MAX_WORD).replaceAll('$(', '$\u200b(');
      this.legend.text = `${icon} ${name} · ${from ? `${word} →` : `→ ${word}`}`;
      const tooltip = new vscode.MarkdownString('', false);
      const line = (text: string): void => {
        tooltip.appendText(text);
        tooltip.appendMarkdown('\n\n');
      };
      line(`${modelName(maps.model, this.shared.interventions)} · ${name}`);
      line(
        from
          ? vscode.l10n.t('How much “{0}” attends to each word.', shortened(maps.units[unit]?.label ?? '', MAX_WORD))
          : vscode.l10n.t('How much each word attends to “{0}”.', shortened(maps.units[unit]?.label ?? '', MAX_WORD)),
      );
      tooltip.appendCodeblock(scale(strongest), 'text');
      if (elsewhere > 0) line(vscode.l10n.t('Special tokens: {0}', probability(elsewhere)));
      line(maps.note);
      line(vscode.l10n.t('Click to hide the colors.'));
      this.legend.tooltip = tooltip;
    }
    this.legend.accessibilityInformation = {
      label: vscode.l10n.t('{0}, click to hide the colors', this.legend.text.replace(`${icon} `, '')),
      role: 'button',
    };
    this.legend.show();
  }

  private hover(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
    const { current } = this;
    if (current === null) return undefined;
    const { words, maps, place, unit } = current;
    for (const word of words) {
      const range = this.placeOf(document, place, word);
      if (range?.contains(position) !== true) continue;
      const one = shortened(maps.units[unit]?.label ?? '', MAX_WORD);
      const other = shortened(word.unit.label, MAX_WORD);
      const content = new vscode.MarkdownString();
      content.appendText(
        [
          this.look.direction === 'from' ? `${one} → ${other}` : `${other} → ${one}`,
          precise(word.weight),
          pictureName(this.look),
          this.look.method,
        ].join(' · '),
      );
      return new vscode.Hover(content, range);
    }
    return undefined;
  }
}

/** Which heads the colours are of. */
export function pictureName({ layer, heads, combine, method }: AttentionLook): string {
  const [first] = heads;
  if (first === undefined)
    return method === 'rollout' || method === 'flow'
      ? vscode.l10n.t('layers 0–{0}', layer)
      : vscode.l10n.t('layer {0}', layer);
  if (heads.length === 1) return headName(first);
  const names = heads.length <= 3 ? heads.map(headName).join('+') : vscode.l10n.t('{0} heads', heads.length);
  return `${combine === 'max' ? 'max' : vscode.l10n.t('mean')} ${names}`;
}

function scale(strongest: number): string {
  const shades = ['░░', '▒░', '▒▒', '▓▒', '▓▓', '█▓', '██'];
  return shades.map((shade, at) => `${shade}  ≥ ${probability(stepFrom(at + 1, strongest))}`).join('\n');
}
