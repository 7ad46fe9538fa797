/** What went wrong, as one of a closed set, so that every caller can decide what to do next. */
export type LensErrorCode =
  | 'bad-input' // the request itself makes no sense (empty selection, bad number …)
  | 'model-not-found' // no such folder, file or catalogue id
  | 'model-invalid' // the .onnx file is damaged, or is no ONNX file
  | 'model-unsupported' // a valid file that we cannot run (inputs we cannot fill, unknown operators …)
  | 'external-data' // weights beside the .onnx file: missing, too short, or outside the model's folder
  | 'tokenizer' // tokenizer.json: missing, damaged, or of another vocabulary
  | 'time-limit' // the text or the tokenizer took too long and was stopped
  | 'no-mask-token' // a masked prediction was asked of a tokenizer without a mask token
  | 'no-lm-head' // a prediction was asked of a model without a language-model head
  | 'no-nsp-head' // a next-sentence probability was asked of a model without that head
  | 'numeric' // the model answered NaN or infinity
  | 'memory' // the operating system or the runtime had no memory left
  | 'storage' // disk full or read-only
  | 'cancelled' // the person cancelled it
  | 'superseded' // a newer request of the same kind took its place
  | 'engine-crashed' // the engine process died while this request ran
  | 'engine-unavailable' // the engine does not start, or crashes again and again
  | 'internal'; // our bug

/** An error as plain data: the form in which it crosses a process border. */
export interface ErrorData {
  code: LensErrorCode;
  /** What went wrong and where: one sentence for a person. */
  message: string;
  /** What to do next: one sentence for a person. */
  hint?: string;
}

/** The only error class that leaves a module on purpose. `message` says what and where, `hint` what to do next. */
export class LensError extends Error {
  constructor(
    readonly code: LensErrorCode,
    message: string,
    readonly hint?: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'LensError';
  }

  /** Any thrown value as a `LensError`; what is not one already is `internal`. */
  static from(thrown: unknown): LensError {
    if (thrown instanceof LensError) return thrown;
    const message = thrown instanceof Error ? thrown.message : String(thrown);
    return new LensError('internal', message, 'Please report this with the log.', { cause: thrown });
  }

  static fromData(data: ErrorData): LensError {
    return new LensError(data.code, data.message, data.hint);
  }

  toData(): ErrorData {
    return { code: this.code, message: this.message, ...(this.hint === undefined ? {} : { hint: this.hint }) };
  }
}

/** What ended because the person wanted it so: nothing to tell. */
export const isSilent = ({ code }: LensError): boolean => code === 'cancelled' || code === 'superseded';
