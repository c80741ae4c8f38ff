"""The learning machines as scikit-learn estimators, and their numbers beside scikit-learn's own."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

from pullback.models import classical

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra sklearn)")

from sklearn import linear_model, metrics, preprocessing  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.utils.estimator_checks import check_estimator  # noqa: E402

from pullback.models.classical import estimators  # noqa: E402


@pytest.mark.filterwarnings("ignore")  # the checks bring data that converge for nobody
@pytest.mark.parametrize("name", estimators.__all__)
def test_check_estimator(name):
    results = check_estimator(getattr(estimators, name)(), on_skip=None, on_fail=None)
    assert len(results) > 30
    failed = {r["check_name"]: repr(r["exception"]) for r in results if r["status"] not in ("passed", "skipped")}
    assert not failed


def blobs(n=120, features=4, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return rng.normal(size=(n, features)) * np.linspace(0.5, 2, features) + 0.7 * y[:, None], y


@pytest.mark.parametrize("C", [0.01, 1.0, 100.0])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky"])
@pytest.mark.parametrize("labels", [(0, 1), (-1, 1)])
def test_coefficients_are_those_of_scikit_learn(C, solver, labels):
    x, y = blobs()
    y = np.array(labels)[y]
    theirs = linear_model.LogisticRegression(C=C, tol=1e-12, max_iter=10_000, solver=solver).fit(x, y)
    ours = estimators.LogisticRegression(C=C, tol=1e-12).fit(x, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=0, atol=1e-6)
    np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=0, atol=1e-6)
    assert (ours.predict(x) == theirs.predict(x)).all()
    found = classical.logistic_regression(x, y, l2=1 / (C * len(x)))
    assert found.weight.tolist() == ours.coef_[0].tolist()


def test_the_others_beside_scikit_learn():
    x, y = blobs()
    target = x @ [1.0, 2.0, -1.0, 0.5] + np.random.default_rng(1).normal(size=len(x))
    ridge, ours = (
        linear_model.Ridge(alpha=12.0).fit(x, target),
        estimators.LinearNeuron(l2=0.1).fit(x, target),
    )  # α = Nλ
    np.testing.assert_allclose(ours.coef_, ridge.coef_, rtol=1e-10)
    assert ours.intercept_ == pytest.approx(ridge.intercept_, rel=1e-9)
    for name in ("MinMaxScaler", "StandardScaler"):
        theirs = getattr(preprocessing, name)().fit_transform(x)
        np.testing.assert_allclose(getattr(estimators, name)().fit_transform(x), theirs, rtol=1e-12, atol=1e-14)
    scores = x[:, 0].round(1)
    false, true, thresholds = metrics.roc_curve(y, scores, drop_intermediate=False)
    curve = classical.roc_curve(scores, y)
    np.testing.assert_allclose(curve.false_positive_rate.numpy(), false, rtol=1e-14)
    np.testing.assert_allclose(curve.true_positive_rate.numpy(), true, rtol=1e-14)
    assert curve.thresholds.tolist() == thresholds.tolist()
    assert curve.area == pytest.approx(metrics.roc_auc_score(y, scores), rel=1e-12)
    predicted = (scores > 0.3).astype(int)
    assert classical.confusion_matrix(predicted, y).tolist() == metrics.confusion_matrix(y, predicted).tolist()
    assert classical.accuracy(predicted, y) == metrics.accuracy_score(y, predicted)


def test_in_a_pipeline_with_names_for_classes():
    x, y = blobs(60)
    names = np.array(["no", "yes"])[y]
    for last in (estimators.LogisticRegression(), estimators.DeepNetworkClassifier(epochs=60, random_state=0)):
        scores = cross_val_score(make_pipeline(estimators.StandardScaler(), last), x, names, cv=3)
        assert scores.mean() > 0.75
    component = estimators.OjaComponent(random_state=0).fit(x)
    leading = np.linalg.svd(x - x.mean(0))[2][0]
    assert abs(leading @ component.component_) > 0.98


def test_estimators_pickle_and_repeat():
    x, y = blobs(60)
    one = estimators.DeepNetworkClassifier(epochs=20, random_state=3).fit(x, y)
    two = pickle.loads(pickle.dumps(estimators.DeepNetworkClassifier(epochs=20, random_state=3).fit(x, y)))
    assert one.losses_ == two.losses_ and (one.predict_proba(x) == two.predict_proba(x)).all()


def test_more_than_two_classes_and_a_bad_penalty():
    x, y = blobs(30)
    with pytest.raises(ValueError, match="Only binary classification"):
        estimators.Perceptron().fit(x, np.arange(30) % 3)
    with pytest.raises(ValueError, match="Perceptron.fit: y expects two classes, got one class: 1"):
        estimators.Perceptron().fit(x, np.ones(30))
    with pytest.raises(ValueError, match="C expects a number > 0, got 0"):
        estimators.LogisticRegression(C=0).fit(x, y)


def test_scikit_learn_is_imported_by_its_module_only():
    code = "import sys, pullback, pullback.models.classical; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    blocked = "import sys; sys.modules['sklearn'] = None; import pullback.models.classical.estimators"
    done = subprocess.run([sys.executable, "-c", blocked], capture_output=True, text=True)
    assert 'pip install "pullback[sklearn]"' in done.stderr.splitlines()[-1]
