/**
 * The picture is the text: the words of the document coloured by how much one memory fires at them. Of the document as it was read; an
 * edit takes the colours away.
 */
import * as vscode from 'vscode';
import { activeEditor } from '../commands/editors';
import { COMMANDS, CONTEXT_KEYS } from '../commands/ids';
import { notify } from '../commands/notify';
import type { EngineService } from '../models/engineService';
import type { ModelLibrary } from '../models/library';
import { Answer } from '../panels/answer';
import { LensError } from '../protocol/errors';
import { ACTIVE_THRESHOLD, type TriggersResult, type TriggerText } from '../protocol/ffn';
import { neuronName, precise, signed } from '../protocol/format';
import type { NeuronRef } from '../protocol/interventions';
import { placeIn } from '../protocol/places';
import { attentionStep, stepFrom } from './attentionScale';
import { documentName } from './document';
import { shadeDecorations, WEIGHT_SHADES } from './shades';

/** Sentences of a document that are coloured. */
const MOST_SENTENCES = 1_000;

interface FiredToken {
  range: vscode.Range;
  activation: number;
  /** 1…7; 0: too little to be coloured. */
  step: number;
}

export interface FiringShown {
  memory: NeuronRef;
  document: vscode.TextDocument;
  tokens: FiredToken[];
  largest: number;
}

export class MemoryColors implements vscode.Disposable {
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;
  private readonly answer = new Answer<TriggersResult>(() => this.drawLegend());
  private memory: NeuronRef | null = null;
  private current: FiringShown | null = null;
  private readonly decorations: vscode.TextEditorDecorationType[];
  private readonly legend: vscode.StatusBarItem;
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly engine: EngineService,
    private readonly library: ModelLibrary,
  ) {
    this.decorations = shadeDecorations('memory', WEIGHT_SHADES);
    this.legend = vscode.window.createStatusBarItem('onnxLens.memory', vscode.StatusBarAlignment.Right, 87);
    this.legend.name = vscode.l10n.t('ONNX Lens Memory');
    this.legend.command = COMMANDS.hideMemoryInDocument;
    let model = library.selected?.ref.id;
    this.subscriptions = [
      ...this.decorations,
      this.legend,
      library.onDidChange(() => {
        if (library.selected?.ref.id === model) return;
        model = library.selected?.ref.id;
        // A memory of another model is another one.
        this.hide();
      }),
      vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
        if (document === this.current?.document && contentChanges.length > 0) this.hide();
      }),
      vscode.window.onDidChangeVisibleTextEditors(() => this.draw()),
      vscode.window.onDidChangeActiveTextEditor(() => void this.refresh()),
      vscode.languages.registerHoverProvider('*', {
        provideHover: (document, position) => this.hover(document, position),
      }),
    ];
  }

  get active(): boolean {
    return this.memory !== null;
  }

  /** What is coloured now. */
  get shown(): FiringShown | null {
    return this.current;
  }

  /** Colours the document of the active editor, and of the one that is active next. Throws `bad-input` without one. */
  async show(memory: NeuronRef): Promise<void> {
    const { document } = activeEditor();
    this.setMemory(memory);
    await this.update(document, memory);
    const { error } = this.answer;
    if (error === null) return;
    this.hide();
    throw LensError.fromData(error);
  }

  hide(): void {
    if (this.memory === null) return;
    this.answer.clear();
    this.current = null;
    this.setMemory(null);
    this.draw();
  }

  dispose(): void {
    this.answer.clear();
    for (const subscription of this.subscriptions) subscription.dispose();
    this.changed.dispose();
  }

  private setMemory(memory: NeuronRef | null): void {
    const was = this.active;
    this.memory = memory;
    if (was === this.active) return;
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.memoryShown, this.active);
    this.changed.fire();
  }

  /** Another document is looked at. */
  private async refresh(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    const { memory } = this;
    if (editor === undefined || memory === null || editor.document === this.current?.document) return;
    try {
      await this.show(memory);
    } catch (thrown) {
      notify(thrown);
    }
  }

  private async update(document: vscode.TextDocument, memory: NeuronRef): Promise<void> {
    const { uri, version } = document;
    const key = JSON.stringify([uri.toString(), version, memory, this.library.selected?.ref]);
    if (this.current?.document !== document || this.current.memory !== memory) this.current = null;
    this.draw();
    await this.answer.want(key, ({ signal, progress }) =>
      this.engine.request(
        'triggers',
        {
          ...{ model: this.library.require().ref, neurons: [{ layer: memory.layer, neuron: memory.neuron }] },
          ...{ sources: [{ name: sourceName(document), text: document.getText() }], limit: MOST_SENTENCES },
          ...{ topK: MOST_SENTENCES, threshold: ACTIVE_THRESHOLD },
        },
        { signal, progress },
      ),
    );
    const texts = this.answer.resultOf(key)?.neurons[0]?.largest;
    if (texts === undefined || this.memory !== memory || document.isClosed || document.version !== version) return;
    const largest = texts[0]?.activation ?? 0;
    this.current = { memory, document, largest, tokens: texts.flatMap((text) => tokensOf(document, text, largest)) };
    this.draw();
  }

  private draw(): void {
    const { current } = this;
    for (const editor of vscode.window.visibleTextEditors) {
      const steps: vscode.Range[][] = this.decorations.map(() => []);
      if (editor.document === current?.document)
        for (const { range, step } of current.tokens) steps[step - 1]?.push(range);
      this.decorations.forEach((decoration, step) => editor.setDecorations(decoration, steps[step] ?? []));
    }
    this.drawLegend();
  }

  private drawLegend(): void {
    const { memory, current } = this;
    if (memory === null) {
      this.legend.hide();
      return;
    }
    const name = neuronName(memory);
    this.legend.text = `$(eye) ${this.answer.loading ? vscode.l10n.t('{0}…', name) : name}`;
    const tooltip = new vscode.MarkdownString('', false);
    if (current === null) tooltip.appendText(vscode.l10n.t('No word of this document is coloured.'));
    else {
      tooltip.appendText(vscode.l10n.t('How much memory {0} fires at each word.', name));
      tooltip.appendCodeblock(
        WEIGHT_SHADES.map(
          (_, at) => `${'█'.repeat(at + 1).padEnd(7)}  ≥ ${signed(stepFrom(at + 1, current.largest))}`,
        ).join('\n'),
        'text',
      );
    }
    tooltip.appendMarkdown('\n\n');
    tooltip.appendText(vscode.l10n.t('Click to hide the colors.'));
    this.legend.tooltip = tooltip;
    this.legend.accessibilityInformation = {
      label: vscode.l10n.t('{0}, click to hide the colors', name),
      role: 'button',
    };
    this.legend.show();
  }

  private hover(document: vscode.TextDocument, position: vscode.Position): vscode.Hover | undefined {
    const { current } = this;
    if (document !== current?.document) return undefined;
    const token = current.tokens.find(({ range, step }) => step > 0 && range.contains(position));
    if (token === undefined) return undefined;
    const content = new vscode.MarkdownString();
    content.appendText(`${neuronName(current.memory)} · m = ${precise(token.activation)}`);
    return new vscode.Hover(content, token.range);
  }
}

/** The name says how it is read: what is no other kind of text is plain. */
const sourceName = ({ uri }: vscode.TextDocument): string =>
  /\.(?:md|tsv|conllu)$/u.test(uri.path) ? documentName(uri) : `${documentName(uri)}.txt`;

/** Those that stand in the document as they were read: of a treebank the sentences are put together first. */
function tokensOf(
  document: vscode.TextDocument,
  { text, tokens, activations, lines }: TriggerText,
  largest: number,
): FiredToken[] {
  const at = (offset: number): vscode.Position => {
    const { line, column } = placeIn({ lines }, offset);
    return new vscode.Position(line - 1, column);
  };
  return tokens.flatMap(({ range: own }, index) => {
    if (own === null) return [];
    const range = new vscode.Range(at(own.start), at(own.end));
    if (document.getText(range) !== text.slice(own.start, own.end)) return [];
    const activation = activations[index] ?? Number.NaN;
    return [{ range, activation, step: attentionStep(activation, largest) }];
  });
}
