// One launch for many tensors: as many as its parameters have room for, in pieces side by side, so that a block finds
// its work wherever in the lists that lies.
#pragma once
#include <tuple>
#include <type_traits>

#include "common/elementwise.h"
#include "common/lines.h"

namespace pullback::cuda {

inline constexpr int kTableBytes = 3 * 1024;  // of the 4 KiB that the parameters of a launch may take

// Lists of tensors: of each, an operand of every type T and an Own. The operands of one tensor have their elements side
// by side, in one order of dimensions.
template <int64_t piece_size, class TheirOwn, class... T>
struct Tensors {
  using Own = TheirOwn;
  static constexpr int operands = sizeof...(T);
  template <int i>
  static constexpr bool writes = !std::is_const_v<std::tuple_element_t<i, std::tuple<T...>>>;
  static constexpr int most = kTableBytes / (sizeof(void*) * operands + 2 * sizeof(int64_t) + sizeof(Own));

  int count = 0;
  void* start[operands][most];
  int64_t size[most];
  int64_t end[most];  // of a tensor's pieces, counted from the first one's
  Own own[most];

  static int64_t pieces_of(int64_t elements) { return (elements + piece_size - 1) / piece_size; }
  PB_INLINE int64_t pieces() const { return count > 0 ? end[count - 1] : 0; }

  void add(const Operand* tensor, int64_t elements, const Own& its_own) {
    end[count] = pieces() + pieces_of(elements);
    for (int i = 0; i < operands; ++i) start[i][count] = tensor[i].data<void>();
    own[count] = its_own;
    size[count++] = elements;
  }

  // Whether operand i of a tensor is memory of one that is there: blocks of one launch must not write to the same
  // place.
  bool meets(int i, const Operand& x, int64_t elements) const {
    const int64_t bytes = item_size(x.dtype);
    const char *low = x.data<char>(), *high = low + elements * bytes;
    for (int r = 0; r < count; ++r) {
      const char* other = static_cast<const char*>(start[i][r]);
      if (low < other + size[r] * bytes && other < high) return true;
    }
    return false;
  }

  // A piece: elements begin ≤ i < end of tensor r.
  struct Piece {
    int r;
    int64_t begin, end;
  };
  PB_DEVICE Piece find(int64_t piece) const {
    int low = 0, high = count - 1;
    while (low < high) {
      const int middle = (low + high) / 2;
      piece < end[middle] ? high = middle : low = middle + 1;
    }
    const int64_t begin = (piece - (low > 0 ? end[low - 1] : 0)) * piece_size, left = size[low] - begin;
    return {low, begin, begin + (left < piece_size ? left : piece_size)};
  }
};

// What has nothing of its own.
struct Nothing {};

// gather(k, operands, own) for k < count, which may refuse; then side_by_side(tensors) for as many as fit at a time,
// and strided(space, operands, own) for each whose elements lie in another way.
template <class Table, int inputs, class Gather, class F, class G>
void each_tensor(int count, Gather&& gather, F&& side_by_side, G&& strided) {
  constexpr int operands = Table::operands;
  Table table;
  for (int k = 0; k < count; ++k) {
    Operand x[operands];
    typename Table::Own own;
    if (!gather(k, x, own)) continue;
    const Space<operands> space = make_space<operands>(x, inputs);
    if (space.size == 0) continue;
    if (!space.linear) {
      strided(space, x, own);
      continue;
    }
    if (table.count == Table::most || (Table::template writes<inputs> && table.meets(inputs, x[inputs], space.size))) {
      side_by_side(table);
      table.count = 0;
    }
    table.add(x, space.size, own);
  }
  if (table.count > 0) side_by_side(table);
}

// f(element of every operand) for elements begin ≤ i < end, by the threads of a block; begin is a multiple of n.
template <int n, class F, class... T>
PB_DEVICE void elements_by_block(const F& f, int64_t begin, int64_t end, T*... p) {
  if ((... && (reinterpret_cast<uintptr_t>(p) % alignof(Pack<T, n>) == 0))) {
    for (int64_t i = begin / n + thread(); i < end / n; i += threads())
      run_packs<n, F, T...>(f, i, load_pack<n>(p, i)..., p...);
    begin = end / n * n;
  }
  for (int64_t i = begin + thread(); i < end; i += threads()) f(element(p, i)...);
}

// --- elementwise -----------------------------------------------------------------------------------------------------

inline constexpr int64_t kElementsPiece = 4 * 1024;

// A functor for one tensor, of one for many.
template <class F, class Own>
struct For {
  F f;
  Own own;
  PB_DEVICE auto prepare() const { return f.prepare(own); }
};

template <class... T, class F, class Table, int... operand>
PB_DEVICE void piece_elements(const F& f, const Table& tensors, const typename Table::Piece& piece,
                              std::integer_sequence<int, operand...>) {
  elements_by_block<kPack<T...>, F, T...>(f, piece.begin, piece.end,
                                          static_cast<T*>(tensors.start[operand][piece.r])...);
}

// What the elements of a tensor share is worked out by one thread: powers of doubles are dear.
template <class F, class Table, class... T>
__global__ void list_elements(Table tensors, Format format, F functor) {
  using Prepared = decltype(functor.prepare(tensors.own[0]));
  Prepared* prepared = shared<Prepared, 1>();
  for (int64_t i = block(); i < tensors.pieces(); i += blocks()) {
    const auto piece = tensors.find(i);
    if (thread() == 0) *prepared = functor.prepare(tensors.own[piece.r]);
    sync_block();
    const OnElements<Prepared, T...> f{*prepared, format};
    if (!is_idle(f)) piece_elements<T...>(f, tensors, piece, std::make_integer_sequence<int, sizeof...(T)>());
    sync_block();
  }
}

// As elementwise<T...>, for all tensors of some lists: operand i of tensor k is element k of list lists[i], and
// f.prepare(own_of(k)) gives its functor.
template <class... T, class OwnOf, class F>
void elementwise_lists(const Call& c, const int (&lists)[sizeof...(T)], OwnOf&& own_of, const F& f) {
  constexpr int operands = sizeof...(T), inputs = (0 + ... + (std::is_const_v<T> ? 1 : 0));
  using Own = decltype(own_of(0));
  using Table = Tensors<kElementsPiece, Own, T...>;
  static_assert(sizeof(Table) + sizeof(Format) + sizeof(F) <= 4096);
  const Format format(c.list(0)[0].dtype);
  const auto gather = [&](int k, Operand* x, Own& own) {
    for (int i = 0; i < operands; ++i) x[i] = c.list(lists[i])[k];
    own = own_of(k);
    Call one = c;
    one.operands = x;
    return check_shapes(one, inputs, operands - inputs);
  };
  const auto side_by_side = [&](const Table& tensors) {
    launch(list_elements<F, Table, T...>, blocks_for_lines(tensors.pieces()), kBlockSize, tensors, format, f);
  };
  const auto strided = [&](const Space<operands>& space, const Operand* x, const Own& own) {
    using One = OnElements<For<F, Own>, T...>;
    const auto launch_one = [&](T*... p) {
      launch(strided_elements<One, T...>, blocks_for(space.size), kBlockSize, space, One{{f, own}, format}, p...);
    };
    std::apply(launch_one, starts_of<T...>(x));
  };
  each_tensor<Table, inputs>(c.list(0).count, gather, side_by_side, strided);
}

}  // namespace pullback::cuda
