/** What the editor knows of `.cloze` files: completion, folding, symbols, hover, rename, links to word files. */
import { dirname, resolve } from 'node:path';
import * as vscode from 'vscode';
import { completionsAt, pathAt, relationAt, type Completion, type KnownRelation } from '../cloze/completion';
import { OPTIONS, RELATION_NAME, type ClozeRelation, type OptionName } from '../cloze/language';
import { counted, visible } from '../protocol/format';
import { LensError } from '../protocol/errors';
import { CLOZE, type ClozeDocuments } from './clozeDocuments';
import { rangeOf } from './document';

const SELECTOR: vscode.DocumentSelector = { language: CLOZE };

const KINDS: Readonly<Record<Completion['kind'], vscode.CompletionItemKind>> = {
  option: vscode.CompletionItemKind.Property,
  relation: vscode.CompletionItemKind.Class,
  value: vscode.CompletionItemKind.Keyword,
  placeholder: vscode.CompletionItemKind.Variable,
  answer: vscode.CompletionItemKind.Value,
  file: vscode.CompletionItemKind.File,
};

export function registerClozeLanguage(documents: ClozeDocuments): vscode.Disposable {
  return vscode.Disposable.from(
    vscode.languages.registerCompletionItemProvider(SELECTOR, new Completions(documents), '[', ' ', ':', '/', '|'),
    vscode.languages.registerFoldingRangeProvider(SELECTOR, {
      provideFoldingRanges: (document) => foldings(documents, document),
    }),
    vscode.languages.registerDocumentSymbolProvider(SELECTOR, {
      provideDocumentSymbols: (document) =>
        documents.get(document).relations.map((relation) => symbolOf(document, relation)),
    }),
    vscode.languages.registerHoverProvider(SELECTOR, {
      provideHover: (document, position) => hover(documents, document, position),
    }),
    vscode.languages.registerRenameProvider(SELECTOR, new RelationRename(documents)),
    vscode.languages.registerDocumentLinkProvider(SELECTOR, {
      provideDocumentLinks: (document) => wordFiles(documents, document),
    }),
  );
}

class Completions implements vscode.CompletionItemProvider {
  constructor(private readonly documents: ClozeDocuments) {}

  async provideCompletionItems(
    document: vscode.TextDocument,
    position: vscode.Position,
    token: vscode.CancellationToken,
  ): Promise<vscode.CompletionItem[]> {
    const before = document.lineAt(position.line).text.slice(0, position.character);
    const path = pathAt(before);
    if (path !== null) return filesAt(document, position, path);
    const known = /^\s*relation\s/u.test(before) ? await knownRelations(this.documents, document.uri) : [];
    if (token.isCancellationRequested) return [];
    return completionsAt(this.documents.get(document), before, document.offsetAt(position), known).map((each, index) =>
      itemOf(each, position, index),
    );
  }
}

function itemOf(completion: Completion, position: vscode.Position, index: number): vscode.CompletionItem {
  const item = new vscode.CompletionItem(completion.label, KINDS[completion.kind]);
  item.detail = completion.detail;
  item.insertText = completion.insert;
  item.range = new vscode.Range(position.translate(0, -completion.replaces), position);
  // In our order, and found by what is typed although it may hold brackets.
  item.sortText = String(index).padStart(4, '0');
  if (completion.goesOn) item.command = { command: 'editor.action.triggerSuggest', title: '' };
  return item;
}

/** Files and folders beside the document, as far as the path is written. */
async function filesAt(
  document: vscode.TextDocument,
  position: vscode.Position,
  path: string,
): Promise<vscode.CompletionItem[]> {
  if (document.uri.scheme === 'untitled') return [];
  const typed = path.split('/').at(-1) ?? '';
  const folder = vscode.Uri.joinPath(document.uri, '..', path.slice(0, path.length - typed.length));
  let entries: [string, vscode.FileType][];
  try {
    entries = await vscode.workspace.fs.readDirectory(folder);
  } catch {
    return []; // there is no such folder yet
  }
  return entries
    .filter(([name]) => !name.startsWith('.') && !name.endsWith('.cloze'))
    .map(([name, type]) => {
      const isFolder = (type & vscode.FileType.Directory) !== 0;
      const item = new vscode.CompletionItem(
        name,
        isFolder ? vscode.CompletionItemKind.Folder : vscode.CompletionItemKind.File,
      );
      item.insertText = isFolder ? `${name}/` : name;
      item.range = new vscode.Range(position.translate(0, -typed.length), position);
      if (isFolder) item.command = { command: 'editor.action.triggerSuggest', title: '' };
      return item;
    });
}

/** Relations of the workspace's other `.cloze` files. */
async function knownRelations(documents: ClozeDocuments, own: vscode.Uri): Promise<KnownRelation[]> {
  return (await documents.ofWorkspace())
    .filter(({ uri }) => uri.toString() !== own.toString())
    .flatMap(({ document }) => document.relations)
    .filter(({ id }) => RELATION_NAME.test(id.value))
    .map(({ id, label }) => ({ id: id.value, label: label?.value ?? null }));
}

function foldings(documents: ClozeDocuments, document: vscode.TextDocument): vscode.FoldingRange[] {
  const { relations, comments } = documents.get(document);
  const lineOf = (offset: number): number => document.positionAt(offset).line;
  const folds = relations
    .map(({ range }) => new vscode.FoldingRange(lineOf(range.start), lineOf(range.end)))
    .filter(({ start, end }) => end > start);
  let [start, end] = [-1, -1];
  const close = (): void => {
    if (end > start) folds.push(new vscode.FoldingRange(start, end, vscode.FoldingRangeKind.Comment));
  };
  for (const comment of comments) {
    const line = lineOf(comment.start);
    if (line !== end + 1 || start < 0) {
      close();
      start = line;
    }
    end = line;
  }
  close();
  return folds;
}

function symbolOf(document: vscode.TextDocument, relation: ClozeRelation): vscode.DocumentSymbol {
  const { id, label, range, templates, facts } = relation;
  const whole = rangeOf(document, range);
  // Without a name yet, as while it is being typed.
  const name = id.value === '' ? vscode.l10n.t('relation without a name') : id.value;
  const symbol = new vscode.DocumentSymbol(
    name,
    [label?.value, counted(facts.length, 'fact')].filter(Boolean).join(' · '),
    vscode.SymbolKind.Class,
    whole,
    id.value === '' ? whole : rangeOf(document, id.range),
  );
  symbol.children = templates.map(({ value, range: place }) => {
    const at = rangeOf(document, place);
    return new vscode.DocumentSymbol(value, '', vscode.SymbolKind.String, at, at);
  });
  symbol.children.push(
    ...facts.map(({ left, answers, range: place }) => {
      const at = rangeOf(document, place);
      const detail = answers.map(({ value }) => value).join(' | ');
      return new vscode.DocumentSymbol(left.value, `→ ${detail}`, vscode.SymbolKind.Constant, at, at);
    }),
  );
  return symbol;
}

const WORDS: Readonly<Record<string, string>> = {
  '[X]': 'stands for the subject of a fact; it may come again.',
  '[Y]':
    'stands for the answer, once: it becomes the mask of the model, or the place where a left-to-right model goes on.',
};

function hover(
  documents: ClozeDocuments,
  document: vscode.TextDocument,
  position: vscode.Position,
): vscode.Hover | undefined {
  const { text } = document.lineAt(position.line);
  const placeholder = document.getWordRangeAtPosition(position, /\[[XY]\]/u);
  if (placeholder !== undefined) {
    const word = document.getText(placeholder);
    return new vscode.Hover(new vscode.MarkdownString(`\`${word}\` ${WORDS[word] ?? ''}`), placeholder);
  }
  const [head = '', name = ''] = /^\s*([\p{L}_-]+)[ \t]*:/u.exec(text) ?? [];
  if (position.character < head.length && Object.hasOwn(OPTIONS, name)) {
    const start = head.indexOf(name);
    return new vscode.Hover(
      new vscode.MarkdownString(`**${name}**: ${OPTIONS[name as OptionName]}.`),
      new vscode.Range(position.line, start, position.line, start + name.length),
    );
  }
  const parsed = documents.get(document);
  const relation = relationAt(parsed, document.offsetAt(position));
  if (relation === null || !rangeOf(document, relation.id.range).contains(position)) return undefined;
  const content = new vscode.MarkdownString();
  content.appendMarkdown('**');
  content.appendText(visible(relation.id.value));
  content.appendMarkdown('** ');
  if (relation.label !== null) content.appendText(`· ${visible(relation.label.value)}`);
  content.appendMarkdown('\n\n');
  const answers = new Set(relation.facts.flatMap((fact) => fact.answers.map(({ value }) => value)));
  content.appendText(
    [
      counted(relation.facts.length, 'fact'),
      counted(relation.templates.length, 'template'),
      vscode.l10n.t('{0} different answers', answers.size),
    ].join(' · '),
  );
  return new vscode.Hover(content, rangeOf(document, relation.id.range));
}

class RelationRename implements vscode.RenameProvider {
  constructor(private readonly documents: ClozeDocuments) {}

  prepareRename(document: vscode.TextDocument, position: vscode.Position): vscode.Range {
    return rangeOf(document, this.named(document, position).id.range);
  }

  provideRenameEdits(document: vscode.TextDocument, position: vscode.Position, name: string): vscode.WorkspaceEdit {
    const relation = this.named(document, position);
    if (!RELATION_NAME.test(name))
      throw new LensError('bad-input', 'A relation has a name of letters, digits, “_”, “-” and “.”.');
    const { relations } = this.documents.get(document);
    if (relations.some((other) => other !== relation && other.id.value === name))
      throw new LensError('bad-input', `There is a relation ${name} in this file already.`);
    const edit = new vscode.WorkspaceEdit();
    edit.replace(document.uri, rangeOf(document, relation.id.range), name);
    return edit;
  }

  private named(document: vscode.TextDocument, position: vscode.Position): ClozeRelation {
    const relation = relationAt(this.documents.get(document), document.offsetAt(position));
    if (relation !== null && relation.id.value !== '' && rangeOf(document, relation.id.range).contains(position))
      return relation;
    throw new LensError('bad-input', 'Only relations can be renamed: put the caret on the name of one.');
  }
}

function wordFiles(documents: ClozeDocuments, document: vscode.TextDocument): vscode.DocumentLink[] {
  if (document.uri.scheme !== 'file') return [];
  const { options, relations } = documents.get(document);
  const folder = dirname(document.uri.fsPath);
  return [options, ...relations.map((relation) => relation.options)]
    .flatMap(({ vocabulary, candidates }) => [vocabulary, candidates?.kind === 'file' ? candidates.file : null])
    .filter((part) => part !== null)
    .map(
      ({ value, range }) => new vscode.DocumentLink(rangeOf(document, range), vscode.Uri.file(resolve(folder, value))),
    );
}
