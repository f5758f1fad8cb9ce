// What the scripts under vendor/ put on the page, for tsc alone: as much of it as the modules here use.

declare const htmx: {
  createEventSource(url: string): EventSource;
  process(element: Element): void;
  trigger(element: Element | string, name: string, detail?: object): void;
  ajax(verb: string, path: string, context: object): Promise<void>;
};

declare const Idiomorph: {
  defaults: {
    ignoreActiveValue: boolean;
    callbacks: {
      beforeNodeMorphed?: (old: Node, now: Node) => boolean;
      beforeNodeRemoved?: (node: Node) => boolean;
      beforeAttributeUpdated?: (name: string, node: Element, kind: string) => boolean;
    };
  };
};

/** uPlot (https://github.com/leeoniya/uPlot): its options are plain objects. */
declare class uPlot {
  constructor(options: object, data: ArrayLike<number | null>[], target: HTMLElement);
  setData(data: ArrayLike<number | null>[], resetScales?: boolean): void;
  setSize(size: { width: number; height: number }): void;
  setSeries(index: number, options: object): void;
  destroy(): void;
  readonly root: HTMLElement;
  readonly cursor: { idx: number | null };
  readonly data: ArrayLike<number | null>[];
  readonly bbox: { left: number; top: number; width: number; height: number };
  readonly ctx: CanvasRenderingContext2D;
  valToPos(value: number, scale: string, canvas?: boolean): number;
  posToVal(position: number, scale: string, canvas?: boolean): number;
}

/** What htmx sends with its events. */
interface HtmxDetail {
  xhr: XMLHttpRequest;
  elt: HTMLElement;
  successful: boolean;
  shouldSwap: boolean;
  issueRequest(skipConfirmation?: boolean): void;
}

type HtmxEvent = CustomEvent<HtmxDetail> & { target: HTMLElement };

interface GlobalEventHandlersEventMap {
  [name: `htmx:${string}`]: HtmxEvent;
  [name: `claw:${string}`]: CustomEvent<any>;
}
